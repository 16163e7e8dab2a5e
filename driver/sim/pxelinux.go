package sim

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/ferrule/ferrule/driver/sim/fetch"
	"github.com/ferrule/ferrule/driver/sim/syslinux"
	"github.com/ferrule/ferrule/task"
)

// pxelinuxName is the boot file that makes a machine boot by pxelinux.
const pxelinuxName = "pxelinux.0"

// A pxelinux is the loader, fetched from a server and run.
type pxelinux struct {
	client *fetch.Client
	self   *url.URL
	bootif string // address of the NIC that it came by, with the hardware's type
}

// bootPXELinux does what pxelinux does that was fetched from the machine's BootFile.
func (m *Machine) bootPXELinux(ctx context.Context, network *http.Client, client *fetch.Client) ending {
	if m.cfg.Firmware != task.BIOS {
		m.print(pxelinuxName + ": this firmware starts programs for UEFI only")
		return nextDevice
	}
	self, err := url.Parse(m.cfg.BootFile)
	if err != nil {
		m.print(err.Error())
		return nextDevice
	}
	p := &pxelinux{client, self, "01-" + strings.ReplaceAll(m.nics()[0].String(), ":", "-")}
	e, err := p.config(ctx, m.cfg.UUID)
	if err != nil {
		m.print(err.Error())
		return nextDevice
	}
	switch {
	case e.Local:
		return nextDevice
	case e.Kernel == "chain.c32":
		return m.bootDisk()
	}
	kernel, err := p.file(ctx, e.Kernel)
	if err != nil {
		m.print(err.Error())
		return nextDevice
	}
	initrd, err := p.file(ctx, e.Initrd())
	if err != nil { // pxelinux starts no kernel without the files that were asked for
		m.print(err.Error())
		return nextDevice
	}
	return m.bootLinux(ctx, network, linux{kernel: kernel, from: p.url(e.Kernel), line: e.CommandLine(p.bootif), initrd: initrd})
}

// config fetches and reads the first configuration that there is, in pxelinux's
// order without the parts of the IP address, for the machine has none.
func (p *pxelinux) config(ctx context.Context, uuid string) (syslinux.Entry, error) {
	var errs []error
	for _, name := range []string{strings.ToLower(uuid), p.bootif, "default"} {
		text, err := p.file(ctx, "pxelinux.cfg/"+name)
		if err == nil {
			return syslinux.Parse(string(text))
		}
		errs = append(errs, err)
	}
	return syslinux.Entry{}, errors.Join(errs...)
}

func (p *pxelinux) file(ctx context.Context, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	return p.client.Fetch(ctx, p.url(name))
}

// url is where a file is: beside pxelinux, or from the server's root with :: before it.
func (p *pxelinux) url(name string) string {
	u := *p.self
	u.RawPath = ""
	if rest, ok := strings.CutPrefix(name, "::"); ok {
		u.Path = "/" + strings.TrimPrefix(rest, "/")
	} else {
		u.Path = path.Join(path.Dir(u.Path), name)
	}
	return u.String()
}
