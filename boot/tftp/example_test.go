package tftp_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing/fstest"

	"github.com/ferrule/ferrule/boot/tftp"
)

// A server is run on a socket until its context ends. The client asks for the
// first of the file's blocks by hand here; firmware does it by itself.
func ExampleServer_Serve() {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error)
	go func() {
		server := tftp.Server{Files: fstest.MapFS{"pxelinux.0": {Data: []byte("loader")}}}
		ended <- server.Serve(ctx, conn)
	}()

	client, err := net.ListenUDP("udp4", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, _ = client.WriteTo([]byte("\x00\x01/tftpboot/pxelinux.0\x00octet\x00"), conn.LocalAddr())
	block := make([]byte, 516)
	n, from, _ := client.ReadFrom(block)
	fmt.Printf("%q\n", block[4:n])
	_, _ = client.WriteTo([]byte{0, 4, 0, 1}, from) // ACK of block 1

	stop()
	fmt.Println(<-ended)
	// Output:
	// "loader"
	// context canceled
}
