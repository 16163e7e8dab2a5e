// Package dhcp tells the firmware of machines which loader to fetch: it is
// between boot implementations, which know what a node is to boot, and a site's
// DHCP, which is what machines ask.
//
// A boot implementation is given a [Provider] and hands it a [Boot] for each
// node:
//
//	err := provider.SetBoot(ctx, t, dhcp.Boot{
//		IPv4: dhcp.Files{
//			Loaders: map[dhcp.Client]string{
//				{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.TFTP}: "tftp://192.0.2.1/snponly.efi",
//				{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.HTTP}: "http://192.0.2.1:8080/snponly.efi",
//			},
//			Script: "http://192.0.2.1:8080/boot.ipxe",
//		},
//	})
//
// # Providers
//
// [None] is for a site whose DHCP was set up by hand, [Dnsmasq] for one that has
// dnsmasq, and [Responder] is a DHCP server of our own, in this process. What a
// provider cannot tell a machine it refuses in CheckBoot, so that a boot
// implementation's Validate can say so.
//
// # Who is asking
//
// A [Client] is architecture, firmware and transport, and the key wherever a
// loader is chosen. It comes from the request, option 93 of DHCPv4 and 61 of
// DHCPv6, never from the node's data: where the two differ, the machine gets the
// loader that it can run, and the difference is reported. A client that is iPXE,
// by user class or by option 175, gets the script in place of a loader, so that
// it does not load iPXE for ever. A machine that does nevertheless, or whose
// loader never starts, is reported as a [Loop].
//
// # The responder
//
// [Config.Answer4] and [Config.Answer6] are functions of a request, a [Host] and
// a Config, without sockets, clocks or state. The [Responder] adds the table of
// hosts, the leases, and loops over sockets: [Responder.ListenAndServe], or
// [Responder.Serve4] and its kin on sockets of the caller's. In [Full] mode it is
// the DHCP server of its networks; in [Proxy] mode another server gives the
// addresses. Machines that nobody named get silence, unless [Config.Unknown]
// says otherwise.
//
// Machines are known by their hardware address; on InfiniBand by the client
// identifier in the port's extra. DHCPv6 is stateless, or gives reserved
// addresses; router advertisements, without which clients do not ask, are the
// site's router's. A machine without an address is answered by broadcast. Of
// option 82 the relay's own sub-options are given back, and none chooses a
// network: that is the relay's address.
//
// # Hostile networks
//
// Anybody on a network can send anything. Requests that make no sense are
// dropped. Answers go to the machine that is known, to relays of networks that
// are configured, and to nobody else. What is kept is bounded by the hosts that
// were named and the range of addresses, which a flood of made up machines can
// use up; that is reported. DHCP has no secrets: whatever a Boot says, the whole
// network can read.
//
// # Evidence, errors and concurrency
//
// What is seen of a node goes to [Config.Observer] as task.Evidence of
// boot.StageDHCP, one piece a request. Errors are task.Error values, around
// task.ErrInvalidParameter, task.ErrMissingParameter, task.ErrUnsupported and
// task.ErrExists. All types may be used from many goroutines; only
// ListenAndServe starts any, and ends them before it returns.
package dhcp
