package ramdisk

import (
	"context"
	"time"
)

// DecodeCommandForTest decodes a command's body and, where it is about an
// image, that.
func DecodeCommandForTest(body []byte) (name string, err error) {
	name, params, err := decodeCommand(body)
	if err == nil {
		if i, err := decodeImage(params); err == nil {
			_, _ = i.checksum(false)
			_, _ = i.layout("")
		}
		checkVersion(params["deploy_version"])
		empty(params["configdrive"])
	}
	return name, err
}

// DecodeLookupForTest decodes lookup's answer.
func DecodeLookupForTest(body []byte) (uuid string, heartbeatTimeout time.Duration, err error) {
	n, err := decodeLookup(body)
	if err != nil {
		return "", 0, err
	}
	return n.facts.UUID, n.heartbeatTimeout, nil
}

// FaultStringForTest is the reader of the API's errors.
var FaultStringForTest = faultString

// HeartbeatsForTest returns what heartbeats until ctx ends, and what forces a
// heartbeat, of an agent that has found its node: without the listener of Run,
// which a synctest bubble would wait for.
func HeartbeatsForTest(ctx context.Context, c Config, timeout time.Duration) (run, force func()) {
	s, err := c.settings()
	if err != nil {
		panic(err)
	}
	a := newAgent(&c, s)
	a.node = &node{facts: nodeFacts{UUID: "node"}, heartbeatTimeout: timeout}
	return func() { a.heartbeats(ctx, "http://192.0.2.50:9999") }, a.forceHeartbeat
}
