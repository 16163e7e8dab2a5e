// Package roletest is what the conformance suites of all roles are made of:
// rules as values, the rules that hold for every role, and tools to write
// others with. Packages boottest, deploytest and drivertest use it.
//
// # Rules
//
// A [Rule] is one sentence of an interface's documentation and a check that
// returns nil, a [Skip], or what is wrong. [Run] makes a subtest of each and
// prints the sentence when it fails. Since a check returns an error, a suite can
// be tested too: [Objections] lists the rules that an implementation breaks, and
// [Caught] compares that list for implementations that each break one. What only
// a whole test run shows is seen from outside: [Failing] runs a test in a process
// of its own and returns what go test prints, [Raced] wants a data race there.
//
// # Every role
//
// Every role has Properties and Validate ([Role]). A suite embeds [Subject] in
// its own subject, and the rules of [Every] go before its own.
//
// # Tools
//
// [Shared] makes a task under a shared lock, [Reloaded] one from a store,
// [Canceled] and [Midway] cut calls off, [Promptly] bounds a call, [Plant] puts
// secrets in and finds them in errors, logs and evidence, [Together] runs calls
// at once, [Leaked] finds goroutines that were left behind.
//
// Checks never call t.Fatal, turn a panic into an error, and call the functions
// of a harness from the test's own goroutine.
package roletest
