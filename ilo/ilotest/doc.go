// Package ilotest has an iLO to test with: for iLO 2, 3 and 4 it speaks RIBCL over
// HTTPS, for iLO 5 and 6 it is the Redfish service of package redfishtest.
//
//	i := ilotest.NewILO(t, ilotest.Config{Generation: 4})
//	maps.Copy(node.DriverInfo, i.DriverInfo())
//
// Its machine is one of package bmctest. Quirks are ways in which some iLOs differ
// from what one would expect, each with where it was seen.
package ilotest
