package dhcp_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

// A machine's UEFI asks for PXE, and then the iPXE that it loaded asks again.
func ExampleConfig_Answer4() {
	subnet := dhcp.Subnet{Prefix: netip.MustParsePrefix("192.0.2.0/24")}
	config := dhcp.Config{Subnets: []dhcp.Subnet{subnet}}
	host := dhcp.Host{
		Node:    "1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
		Address: netip.MustParseAddr("192.0.2.50"),
		Subnet:  &subnet,
		Boot: &dhcp.Boot{
			IPv4: dhcp.Files{
				Loaders: map[dhcp.Client]string{{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.TFTP}: "tftp://192.0.2.2/snponly.efi"},
				Script:  "http://192.0.2.1:8080/boot.ipxe",
			},
			Firmware: task.BIOS, // a mistake in the node's data
		},
	}
	mac, _ := net.ParseMAC("52:54:00:77:00:01")
	ask := func(more ...dhcpv4.Option) {
		discover, err := dhcpv4.NewDiscovery(mac)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, o := range append(more, dhcpv4.OptClientArch(iana.EFI_X86_64), dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003000")) {
			discover.UpdateOption(o)
		}
		offer, findings := config.Answer4(dhcp.Query4{Request: discover, Host: host, Server: netip.MustParseAddr("192.0.2.1")})
		fmt.Println(offer.MessageType(), offer.YourIPAddr, offer.ServerIPAddr, offer.BootFileName)
		for _, f := range findings {
			fmt.Printf("  %s: %s\n", f.Kind, f.Detail)
		}
	}
	ask()
	ask(dhcpv4.Option{Code: dhcpv4.OptionUserClassInformation, Value: dhcpv4.String("iPXE")})
	// Output:
	// OFFER 192.0.2.50 192.0.2.2 snponly.efi
	//   other firmware: the machine's firmware is uefi, the node's data says bios
	//   told: uefi x86_64 by tftp: offered 192.0.2.50 and tftp://192.0.2.2/snponly.efi
	// OFFER 192.0.2.50 192.0.2.1 http://192.0.2.1:8080/boot.ipxe
	//   other firmware: the machine's firmware is uefi, the node's data says bios
	//   told: iPXE (uefi x86_64): offered 192.0.2.50 and http://192.0.2.1:8080/boot.ipxe
}

// A machine asks over IPv6, where routers give the addresses.
func ExampleConfig_Answer6() {
	config := dhcp.Config{DUID: []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}}
	host := dhcp.Host{Boot: &dhcp.Boot{IPv6: dhcp.Files{Script: "http://[2001:db8::1]:8080/boot.ipxe"}}}
	ask, err := dhcpv6.NewMessage()
	if err != nil {
		fmt.Println(err)
		return
	}
	ask.MessageType = dhcpv6.MessageTypeInformationRequest
	ask.AddOption(&dhcpv6.OptUserClass{UserClasses: [][]byte{[]byte("iPXE")}})
	reply, findings := config.Answer6(dhcp.Query6{Request: ask, Host: host})
	fmt.Println(reply.MessageType, reply.Options.BootFileURL())
	fmt.Println(findings[0].Detail)
	// Output:
	// REPLY http://[2001:db8::1]:8080/boot.ipxe
	// iPXE: given http://[2001:db8::1]:8080/boot.ipxe
}

// A DHCP server beside the site's own, on one network interface.
func ExampleResponder() {
	r, err := dhcp.NewResponder(dhcp.Config{Mode: dhcp.Proxy})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go r.ListenAndServe(ctx, "provisioning0") // port 67 and 4011, until ctx ends

	t := &task.Task{Node: &task.Node{UUID: "n1"}, Ports: []*task.Port{{Address: "52:54:00:77:00:01"}}}
	err = r.SetBoot(ctx, t, dhcp.Boot{IPv4: dhcp.Files{Script: "http://192.0.2.1:8080/boot.ipxe"}})
	fmt.Println(err)
	// Output: <nil>
}
