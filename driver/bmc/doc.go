// Package bmc has what clients of baseboard management controllers share: errors
// in classes, each with a number of tries that ends; the care that one controller
// needs; and TLS for certificates that nobody signed.
//
//	err := bmc.Budgets(nil).Retry(ctx, func(ctx context.Context) error {
//		return owner.Do(ctx, credentials, func(ctx context.Context) error { ... })
//	})
//
// # Errors
//
// A client returns an [Error] for all that goes wrong between it and a BMC; its
// [Class] says whether another try may help. [ClassOf] finds it in an error that
// was wrapped since. No error holds a password.
//
// # One owner
//
// A BMC is a small computer: it takes few requests at once, and locks accounts
// after a few wrong passwords. All requests to one go through its [Owner], which
// bounds how many run and how fast they follow one another, and asks with
// credentials that were refused no more than once in a while.
package bmc
