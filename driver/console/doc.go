// Package console makes serial consoles of machines reachable: by programs as a
// byte stream, and by people in a browser.
//
// A [Hub] holds the consoles that are started, each fed by a [Source]: serial over
// LAN of an IPMI driver, a virtual machine's serial port, an iLO. One hub serves
// all drivers:
//
//	hub := console.NewHub(console.Config{URL: "https://provision.example/console/", Authorize: authorize})
//	defer hub.Close()
//	http.Handle("/console/", http.StripPrefix("/console", hub))
//	d := driver.Driver{Console: hub.Console(bmcs.Console()), ...}
//
// # Viewers
//
// What a machine writes is read once and kept as scroll-back of a bounded size.
// [Hub.Attach] gives a [Viewer], an io.ReadWriteCloser that begins with the
// scroll-back and goes on with what comes. Any number may watch; what any of them
// writes is typed at the machine. A viewer that reads slowly delays neither the
// machine nor other viewers: when it falls behind the scroll-back it is told how
// much it missed and goes on from there.
//
// # In the browser
//
// A hub is an http.Handler: it serves a page with a terminal (xterm.js, embedded)
// at node/UUID/, and the stream as a websocket below it. Everything is refused
// unless Config.Authorize allows it, request by request. Behind a proxy, let that
// pass websockets on.
//
// # Logs
//
// With Config.LogDir everything that a console writes goes to a file for its node,
// and files are rotated by size.
//
// A stream that ends (a BMC was reset, somebody took the console) ends its console:
// viewers are told, and StartConsole starts it anew.
package console
