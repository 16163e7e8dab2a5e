// Package tftp serves files to boot firmware by TFTP, read-only.
//
//	root, err := os.OpenRoot("/srv/tftp")
//	server := tftp.Server{Files: root.FS()}
//	err = server.ListenAndServe(ctx, ":69")
//
// It speaks RFC 1350 in mode octet, with the options (RFC 2347) blksize (2348),
// timeout and tsize (2349) and windowsize (7440). Block numbers roll over to
// zero, so files of any size go. Options that are unknown, make no sense or are
// given twice are left out of the acknowledgement and do not hold; a block size
// or window that is too large is acknowledged with the largest there is: 65464
// bytes, or less where MaxBlockSize says so, and 64 blocks.
//
// # Speed
//
// One goroutine carries all transfers. On Linux it takes what has come to a
// socket with one system call, answers all of it with another, and hands a
// window to the kernel as a whole, to be cut into packets there. A client that
// asks for no window is waited for after each block, and how fast that goes is up
// to the network. Elsewhere, or on a socket that is not a *net.UDPConn, the same
// is done with a system call for each packet.
//
// # Strangers
//
// TFTP knows neither users nor secrets: whoever can reach the port can read all
// of Files, and the source of a request may be forged. Names that leave the tree
// or mean something to some system only are refused, as are write requests and
// mode netascii; what is malformed is refused or ignored. A request is answered
// three times at most, a second apart unless Timeout or the client's timeout
// option say otherwise, while its client says nothing. After an acknowledgement a
// window goes out once more at a timeout, and at most every 20 ms where the client
// says that it misses something; a repeated acknowledgement without windows draws
// nothing. MaxTransfers and MaxPerClient bound memory, files and goroutines. A
// packet that belongs to no transfer is answered with error 5, and the transfer
// that it was meant to disturb goes on.
//
// # Files
//
// A file is opened for each request, and closed when its client has everything,
// aborts, as those do that only ask for the size, or vanishes. So a file knows
// by its own ReadAt and Close how far a client got. One that turns out shorter than
// its Stat said ends the transfer with an error.
package tftp
