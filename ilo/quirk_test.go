package ilo_test

import (
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

const image = "https://192.0.2.1/x/node.iso?a=1&b=2"

// A plain client sends what the guide's samples say, and takes the first document
// for the answer.
type plain struct {
	t *testing.T
	i *ilotest.ILO
}

// do sends a command and returns the whole answer, and the status in its first
// document.
func (p plain) do(group, mode, cmd string) (answer string, good bool) {
	body := fmt.Sprintf(`<RIBCL VERSION="2.0"><LOGIN USER_LOGIN="%s" PASSWORD="%s"><%s MODE="%s">%s</%s></LOGIN></RIBCL>`, bmctest.User, bmctest.Password, group, mode, cmd, group)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	r, err := client.Post("https://"+net.JoinHostPort(p.i.Host, p.i.Port)+"/ribcl", "text/xml", strings.NewReader(body))
	require.NoError(p.t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	require.NoError(p.t, err)
	first, _, _ := strings.Cut(string(data), "</RIBCL>")
	return string(data), strings.Contains(first, `STATUS="0x0000"`)
}

func (p plain) insert() {
	var url strings.Builder
	_ = xml.EscapeText(&url, []byte(image))
	p.do("RIB_INFO", "write", `<INSERT_VIRTUAL_MEDIA DEVICE="CDROM" IMAGE_URL="`+url.String()+`"/>`)
	p.do("RIB_INFO", "write", `<SET_VM_STATUS DEVICE="CDROM"><VM_BOOT_OPTION VALUE="CONNECT"/></SET_VM_STATUS>`)
}

// ours does the same through the driver.
type ours struct {
	t    *testing.T
	i    *ilotest.ILO
	bmcs *ilo.BMCs
	task *task.Task
}

func (o ours) insert() bool {
	require.NoError(o.t, o.bmcs.Drives().Insert(o.t.Context(), o.task, boot.CDROM, image))
	return o.i.Machine.Media()["cd"] == image
}

func (o ours) eject() bool {
	require.NoError(o.t, o.bmcs.Drives().Eject(o.t.Context(), o.task, boot.CDROM, func(string) bool { return true }))
	return o.i.Machine.Media()["cd"] == ""
}

func (o ours) set(d boot.Device, persistent bool) bool {
	want := driver.BootSetting{Device: d, Persistent: persistent}
	require.NoError(o.t, o.bmcs.Management().SetBootDevice(o.t.Context(), o.task, want))
	got, err := o.bmcs.Management().BootDevice(o.t.Context(), o.task)
	require.NoError(o.t, err)
	return got == want
}

// TestQuirks shows of each quirk that a plain client meets it, and that ours gets
// done what was asked for all the same.
func TestQuirks(t *testing.T) {
	for _, c := range []struct {
		quirk ilotest.Quirk
		plain func(p plain) bool // reports whether it worked
		ours  func(o ours) bool
	}{
		{ilotest.UEFIBootList,
			func(p plain) bool {
				_, good := p.do("SERVER_INFO", "write", `<SET_PERSISTENT_BOOT><DEVICE VALUE="CDROM"/></SET_PERSISTENT_BOOT>`)
				return good && p.i.Machine.State().Persistent == boot.CDROM
			},
			func(o ours) bool { return o.set(boot.CDROM, true) && o.set(boot.PXE, true) && o.set(boot.Disk, true) }},
		{ilotest.UnknownMode,
			func(p plain) bool {
				answer, _ := p.do("SERVER_INFO", "read", `<GET_PENDING_BOOT_MODE/>`)
				return strings.Contains(answer, "UEFI") || strings.Contains(answer, "LEGACY")
			},
			func(o ours) bool {
				require.NoError(o.t, o.bmcs.Management().SetBootMode(o.t.Context(), o.task, task.BIOS))
				mode, err := o.bmcs.Management().BootMode(o.t.Context(), o.task)
				return err == nil && mode == task.BIOS
			}},
		{ilotest.PowerLater,
			func(p plain) bool {
				p.do("SERVER_INFO", "write", `<SET_HOST_POWER HOST_POWER="Yes"/>`)
				answer, _ := p.do("SERVER_INFO", "read", `<GET_HOST_POWER_STATUS/>`)
				return strings.Contains(answer, `HOST_POWER="ON"`)
			},
			func(o ours) bool {
				require.NoError(o.t, o.bmcs.Power().SetPowerState(o.t.Context(), o.task, driver.PowerOn))
				state, err := o.bmcs.Power().PowerState(o.t.Context(), o.task)
				return err == nil && state == driver.PowerOn
			}},
		{ilotest.EjectRefuses,
			func(p plain) bool {
				_, good := p.do("RIB_INFO", "write", `<EJECT_VIRTUAL_MEDIA DEVICE="CDROM"/>`)
				return good
			}, ours.eject},
		{ilotest.StaleMedium,
			func(p plain) bool {
				p.insert()
				p.i.Lose("cd")
				p.do("RIB_INFO", "write", `<INSERT_VIRTUAL_MEDIA DEVICE="CDROM" IMAGE_URL="`+strings.ReplaceAll(image, "&", "&amp;")+`"/>`)
				return p.i.Machine.Media()["cd"] != ""
			},
			func(o ours) bool {
				o.insert()
				o.i.Lose("cd")
				return o.insert()
			}},
		{ilotest.LateFailure,
			func(p plain) bool { // success, by the first document, though nothing was done
				_, good := p.do("RIB_INFO", "write", `<EJECT_VIRTUAL_MEDIA DEVICE="TAPE"/>`)
				return !good
			},
			func(o ours) bool {
				o.i.Machine.Change(func(s *bmctest.State) { s.Unlicensed = true })
				err := o.bmcs.Drives().Insert(o.t.Context(), o.task, boot.CDROM, image)
				return bmc.ClassOf(err) == bmc.Licence
			}},
		{ilotest.MisspeltNICs,
			func(p plain) bool {
				answer, _ := p.do("SERVER_INFO", "read", `<GET_EMBEDDED_HEALTH/>`)
				return strings.Contains(answer, "<NIC_INFORMATION>")
			},
			func(o ours) bool {
				_, err := o.bmcs.Inspect().InspectHardware(o.t.Context(), o.task)
				require.NoError(o.t, err)
				return len(found(o.task)) == 1
			}},
		{ilotest.LowerCase,
			func(p plain) bool {
				answer, _ := p.do("SERVER_INFO", "read", `<GET_ONE_TIME_BOOT/>`)
				return strings.Contains(answer, `VALUE="Normal"`)
			},
			func(o ours) bool { return o.set(boot.PXE, false) }},
		{ilotest.StrayReturns,
			func(p plain) bool {
				answer, _ := p.do("SERVER_INFO", "read", `<GET_ONE_TIME_BOOT/>`)
				return !strings.Contains(answer, "</RIBCL>\r\r\n")
			},
			func(o ours) bool { return o.set(boot.PXE, false) }},
		{ilotest.EchoesPassword,
			func(p plain) bool {
				answer, _ := p.do("SERVER_INFO", "read", `<NONSENSE/>`)
				return !strings.Contains(answer, bmctest.Password)
			},
			func(o ours) bool {
				o.i.Machine.Change(func(s *bmctest.State) { s.Unlicensed = true })
				err := o.bmcs.Drives().Insert(o.t.Context(), o.task, boot.CDROM, image)
				return err != nil && strings.Contains(err.Error(), "LOGIN was") && !strings.Contains(err.Error(), bmctest.Password)
			}},
	} {
		t.Run(string(c.quirk), func(t *testing.T) {
			newILO := func() *ilotest.ILO { return ilotest.NewILO(t, ilotest.Config{Quirks: []ilotest.Quirk{c.quirk}}) }
			require.False(t, c.plain(plain{t, newILO()}), "a plain client does not get it done")
			i := newILO()
			require.True(t, c.ours(ours{t, i, newBMCs(t), onILO(t, i, "n1")}), "ours does")
		})
	}
}
