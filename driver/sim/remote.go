package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/sim/media"
)

// What a BMC of some other kind than the fleet's does to the machine.

// PowerOn starts the firmware unless the machine is on.
func (m *Machine) PowerOn() { m.powerOn() }

// PowerOff pulls the plug and returns when nothing runs any more.
func (m *Machine) PowerOff() { m.powerOff() }

// SetBootDevice sets what the next boot, or every boot, tries first.
func (m *Machine) SetBootDevice(s driver.BootSetting) { m.setBootDevice(s) }

// SetMedia puts the images at URLs into the machine's virtual drives, where its
// firmware and its ramdisk find them; "" for an empty drive.
func (m *Machine) SetMedia(cd, floppy string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cd, m.floppy = cd, floppy
}

func (m *Machine) media() (cd, floppy string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cd, m.floppy
}

// bootCD starts what is on the disc in the virtual CD drive.
func (m *Machine) bootCD(ctx context.Context, network *http.Client) ending {
	url, _ := m.media()
	if url == "" {
		m.print("no disc in the CD drive")
		return nextDevice
	}
	kernel, initrd, line, err := m.readCD(&remoteFile{ctx: ctx, client: network, url: url})
	if err != nil {
		m.print(err.Error())
		return nextDevice
	}
	return m.bootLinux(ctx, network, linux{kernel: kernel, from: url, line: line, initrd: initrd})
}

// maxLoaded is more than any kernel or ramdisk of simulated machines has.
const maxLoaded = 1 << 30

func (m *Machine) readCD(r io.ReaderAt) (kernel, initrd []byte, line string, err error) {
	d, err := media.OpenISO(r)
	if err != nil {
		return nil, nil, "", err
	}
	s, err := d.Start(m.cfg.Firmware)
	if err != nil {
		return nil, nil, "", err
	}
	if s.Kernel.Size() > maxLoaded || s.Ramdisk.Size() > maxLoaded {
		return nil, nil, "", errors.New("kernel or ramdisk do not fit in memory")
	}
	if kernel, err = readAll(s.Kernel); err == nil {
		initrd, err = readAll(s.Ramdisk)
	}
	return kernel, initrd, s.CommandLine, err
}

// readAll reads in the pieces that BMCs ask for.
func readAll(r *io.SectionReader) ([]byte, error) {
	data := make([]byte, r.Size())
	for at := int64(0); at < r.Size(); at += pieceSize {
		piece := data[at:min(at+pieceSize, r.Size())]
		if _, err := r.ReadAt(piece, at); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return data, nil
}

const pieceSize = 64 << 10

// parameters are what the ramdisk reads of its command line, and, where that says
// so, of the virtual floppy.
func (m *Machine) parameters(ctx context.Context, network *http.Client, line string) (map[string]string, error) {
	p := ramdisk.ParseCommandLine(line)
	_, url := m.media()
	if p["boot_method"] != "vmedia" || url == "" {
		return p, nil
	}
	f, err := media.OpenFAT(&remoteFile{ctx: ctx, client: network, url: url})
	if err != nil {
		return nil, err
	}
	text, err := f.ReadFile("parameters.txt")
	for _, word := range bytes.Fields(text) {
		if k, v, ok := bytes.Cut(word, []byte("=")); ok {
			p[string(k)] = string(v)
		}
	}
	return p, err
}

// A remoteFile is read in ranges over HTTP.
type remoteFile struct {
	ctx    context.Context // of the machine's run, for io.ReaderAt has none
	client *http.Client
	url    string
}

func (f *remoteFile) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	res, err := f.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, io.EOF
	default:
		return 0, fmt.Errorf("virtual media: %s", res.Status)
	}
	n, err := io.ReadFull(res.Body, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
