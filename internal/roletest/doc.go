// Package roletest has what the conformance suites of all roles share: rules as
// values, the rules that hold for every role, and tools to write others with.
//
// Packages boottest, deploytest and drivertest are made of it.
//
// # Rules
//
// A [Rule] is one sentence of an interface's documentation and a check that
// returns nil, a [Skip], or what is wrong. [Run] makes a subtest of each and
// prints the sentence when it fails. Since a check returns an error, a suite can
// be tested too: [Objections] lists the rules that an implementation breaks, and
// a suite's own test compares that list for implementations that each break one.
//
// # Every role
//
// Every role has Properties and Validate ([Role]); the functions
// PropertiesDocumented to ValidateRefusesIllegal check those two.
//
// # Tools
//
// [Shared] makes a task under a shared lock, [CancelAt] a context that is
// canceled in the middle of a call, [Promptly] bounds a call, [Plant] puts
// secrets in and finds them in errors, logs and evidence, [Together] runs calls
// at once, [Leaked] finds goroutines that were left behind.
//
// Checks never call t.Fatal; functions that take a *testing.T fail that test.
package roletest
