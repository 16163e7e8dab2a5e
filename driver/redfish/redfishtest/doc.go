// Package redfishtest has a BMC that speaks Redfish over HTTPS for a machine of
// package bmctest, with the manners of several vendors.
//
//	b := redfishtest.NewBMC(t, redfishtest.Config{Personality: redfishtest.ILO5})
//	node.DriverInfo["redfish_address"] = b.URL
//
// A [Personality] is what a vendor's machines look like and a set of [Quirk]s; more
// of those can be switched on, each with a sentence and where it was seen. The BMC
// counts sessions and requests, so that a test can say that none is left and that
// not too many were made.
package redfishtest
