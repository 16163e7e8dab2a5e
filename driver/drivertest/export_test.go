package drivertest

import (
	"testing"

	"github.com/ferrule/ferrule/internal/roletest"
)

func PowerCaught(t *testing.T, faults []roletest.Fault[PowerHarness]) {
	roletest.Caught(t, powerRules, PowerHarness.subject, faults)
}

func ManagementCaught(t *testing.T, faults []roletest.Fault[ManagementHarness]) {
	roletest.Caught(t, managementRules, ManagementHarness.subject, faults)
}

func ConsoleCaught(t *testing.T, faults []roletest.Fault[ConsoleHarness]) {
	roletest.Caught(t, consoleRules, ConsoleHarness.subject, faults)
}

func VendorCaught(t *testing.T, faults []roletest.Fault[VendorHarness]) {
	roletest.Caught(t, vendorRules, VendorHarness.subject, faults)
}

func DriverCaught(t *testing.T, faults []roletest.Fault[Harness]) {
	roletest.Caught(t, driverRules, Harness.subject, faults)
}

func InspectCaught(t *testing.T, faults []roletest.Fault[InspectHarness]) {
	roletest.Caught(t, inspectRules, InspectHarness.subject, faults)
}

func RAIDCaught(t *testing.T, faults []roletest.Fault[RAIDHarness]) {
	roletest.Caught(t, raidRules, RAIDHarness.subject, faults)
}

func RescueCaught(t *testing.T, faults []roletest.Fault[RescueHarness]) {
	roletest.Caught(t, rescueRules, RescueHarness.subject, faults)
}
