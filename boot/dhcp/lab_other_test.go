//go:build !linux

package dhcp_test

const childEnv = "FERRULE_DHCP_CHILD"

func runChild(string) int { return 2 }
