package snmp_test

import (
	"net"
	"sync"
	"testing"

	"github.com/gosnmp/gosnmp"
	"github.com/stretchr/testify/require"
)

// A pdu is a unit that speaks SNMP on loopback, versions 1 and 2c.
type pdu struct {
	port int

	mu      sync.Mutex
	system  string         // sysObjectID
	objects map[string]int // by OID
	onSet   func(objects map[string]int, oid string, value int)
	jammed  bool
	seen    []string // communities
}

func newPDU(t *testing.T) *pdu {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	p := &pdu{port: conn.LocalAddr().(*net.UDPAddr).Port, objects: map[string]int{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for b := make([]byte, 2048); ; {
			n, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			if answer := p.answer(b[:n]); answer != nil {
				_, _ = conn.WriteToUDP(answer, from)
			}
		}
	})
	t.Cleanup(func() { conn.Close(); serving.Wait() })
	return p
}

func (p *pdu) answer(packet []byte) []byte {
	request, err := new(gosnmp.GoSNMP).SnmpDecodePacket(packet)
	if err != nil || len(request.Variables) != 1 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, request.Community)
	v := request.Variables[0]
	answer := &gosnmp.SnmpPacket{Version: request.Version, Community: request.Community, PDUType: gosnmp.GetResponse, RequestID: request.RequestID}
	now, known := p.objects[v.Name]
	switch {
	case request.Community == "wrong":
		return nil
	case v.Name == ".1.3.6.1.2.1.1.2.0":
		v.Type, v.Value = gosnmp.ObjectIdentifier, p.system
	case !known:
		answer.Error, answer.ErrorIndex = gosnmp.NoSuchName, 1
		v.Type, v.Value = gosnmp.Null, nil
	case request.PDUType == gosnmp.SetRequest:
		if !p.jammed {
			p.objects[v.Name] = v.Value.(int)
			if p.onSet != nil {
				p.onSet(p.objects, v.Name, v.Value.(int))
			}
		}
	default:
		v.Type, v.Value = gosnmp.Integer, now
	}
	answer.Variables = []gosnmp.SnmpPDU{v}
	data, err := answer.MarshalMsg()
	if err != nil {
		panic(err)
	}
	return data
}

func (p *pdu) value(oid string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.objects[oid]
}

func (p *pdu) is(sysObjectID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.system = sysObjectID
}

func (p *pdu) communities() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}
