package dhcp

import (
	"encoding/binary"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// base is the head of every answer (RFC 2131 table 3).
func (a *answer4) base(t dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	m := a.Request
	r := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, ClientHWAddr: m.ClientHWAddr,
		TransactionID: m.TransactionID, Flags: m.Flags & 0x8000, GatewayIPAddr: m.GatewayIPAddr,
		Options: make(dhcpv4.Options, 16),
	}
	if t == dhcpv4.MessageTypeAck && (a.PXEPort || m.MessageType() == dhcpv4.MessageTypeInform || addrOf4(m.ClientIPAddr) == a.Host.Address) {
		r.ClientIPAddr = m.ClientIPAddr
	}
	r.Options[dhcpv4.OptionDHCPMessageType.Code()] = []byte{byte(t)}
	r.Options[dhcpv4.OptionServerIdentifier.Code()] = a.Server.AsSlice()
	return r
}

func (a *answer4) lease() {
	d, o := a.config.lease(), a.reply.Options
	o[dhcpv4.OptionIPAddressLeaseTime.Code()] = seconds(d)
	o[dhcpv4.OptionRenewTimeValue.Code()] = seconds(d / 2)
	o[dhcpv4.OptionRebindingTimeValue.Code()] = seconds(d / 8 * 7)
}

func seconds(d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))
}

// network tells about the network that the machine is on.
func (a *answer4) network() {
	s, o := a.Host.Subnet, a.reply.Options
	if s == nil {
		return
	}
	o[dhcpv4.OptionSubnetMask.Code()] = binary.BigEndian.AppendUint32(nil, ^(^uint32(0) >> s.Prefix.Bits()))
	if s.Router.IsValid() {
		o[dhcpv4.OptionRouter.Code()] = s.Router.AsSlice()
	}
	for _, d := range s.DNS {
		o[dhcpv4.OptionDomainNameServer.Code()] = append(o[dhcpv4.OptionDomainNameServer.Code()], d.AsSlice()...)
	}
}

var (
	bootDirectly = []byte{6, 1, 8, endOption} // PXE discovery control: use the file in this offer
	noProxyWait  = []byte{176, 1, 1}          // iPXE's no-pxedhcp: nobody else tells what to boot
)

// boot tells what to fetch, in every place where some firmware looks for it.
func (a *answer4) boot(file string, proxy bool) {
	r, o := a.reply, a.reply.Options
	r.ServerIPAddr = a.Server.AsSlice()
	if server, path, ok := splitTFTP(file); ok && server.Is4() && !(a.caller.iPXE && file == a.Host.Boot.IPv4.Script) {
		r.ServerIPAddr = server.AsSlice()
		o[dhcpv4.OptionTFTPServerName.Code()] = []byte(server.String())
		o[opt4TFTPAddress] = server.AsSlice()
		file = path
	}
	o[dhcpv4.OptionBootfileName.Code()] = []byte(file)
	if len(file) <= maxFile {
		r.BootFileName = file
	}
	class := dhcpv4.OptionClassIdentifier.Code()
	switch {
	case a.caller.class == HTTP:
		o[class] = []byte(httpClient)
	case proxy:
		o[class] = []byte(pxeClient)
		o[opt4PXEVendor] = a.pxeVendor()
	}
	if a.caller.iPXE && !proxy {
		o[opt4Etherboot] = noProxyWait
	}
}

// pxeVendor is option 43. A client that asks for one item of a boot menu is
// told that it gets that one.
func (a *answer4) pxeVendor() []byte {
	const bootItem = 71
	b := a.Request.Options[opt4PXEVendor]
	for len(b) >= 2 && b[0] != endOption {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		end := 2 + int(b[1])
		if end > len(b) {
			break
		}
		if b[0] == bootItem && b[1] == 4 && a.PXEPort {
			return append(append([]byte{6, 1, 8}, b[:6]...), endOption)
		}
		b = b[end:]
	}
	return bootDirectly
}

// echo gives back what clients and relays want to see again (RFC 6842, RFC 3046
// and the PXE specification).
func (a *answer4) echo() {
	from, to := a.Request.Options, a.reply.Options
	codes := []dhcpv4.OptionCode{dhcpv4.OptionClientIdentifier}
	if a.caller.class != "" {
		codes = append(codes, dhcpv4.OptionClientMachineIdentifier)
	}
	if relayOf(a.Request).IsValid() {
		codes = append(codes, dhcpv4.OptionRelayAgentInformation)
	}
	for _, c := range codes {
		if v, ok := from[c.Code()]; ok && len(v) <= maxOption {
			to[c.Code()] = v
		}
	}
}

// fit drops what a client can do without until it takes the answer.
func (a *answer4) fit() bool {
	size := header4 + cookie4 + 1
	for _, v := range a.reply.Options {
		size += 2 + len(v)
	}
	most, o := maxSize(a.Request), a.reply.Options
	spare := []dhcpv4.OptionCode{dhcpv4.GenericOptionCode(opt4TFTPAddress), dhcpv4.OptionTFTPServerName, dhcpv4.OptionClientIdentifier}
	if a.reply.BootFileName != "" {
		spare = append(spare, dhcpv4.OptionBootfileName)
	}
	for _, c := range spare {
		v, ok := o[c.Code()]
		if size <= most {
			break
		}
		if ok {
			size -= 2 + len(v)
			delete(o, c.Code())
		}
	}
	return size <= most
}
