// Package diskfile is a deploy driver for machines whose disk the provisioning
// host reaches itself, as a file: virtual machines, and boards behind a
// multiplexer for their card. It needs no ramdisk and so no boot interface.
//
// The image is written beside the disk, zeros left out, read back and compared
// with its checksum, and then takes the disk's place in one step: a deploy that
// fails at any point leaves the disk as it was.
package diskfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// StageImage is the stage of the evidence that bytes were written.
const StageImage = "image"

// Deploy deploys to disk files. One value serves every node.
type Deploy struct {
	images string // directory with raw images
	disks  string // directory with the machines' disks
}

var (
	_ deploy.DeployInterface = (*Deploy)(nil)
	_ deploy.Stepper         = (*Deploy)(nil)
	_ task.Stager            = (*Deploy)(nil)
)

// New returns a deploy interface that writes raw images of one directory over
// disk files in another one.
func New(images, disks string) *Deploy { return &Deploy{images, disks} }

type parameters struct {
	Disk  string `driver_info:"disk_file,required" help:"name of the machine's file in the directory of disks"`
	Image string `instance_info:"image_source,required" help:"name of a raw image in the directory of images"`
	Sum   string `instance_info:"image_os_hash_value,required" help:"SHA-256 of the image in hexadecimal"`
	Algo  string `instance_info:"image_os_hash_algo" default:"sha256" choices:"sha256" help:"algorithm of image_os_hash_value"`
}

// Properties implements [deploy.DeployInterface].
func (d *Deploy) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// Validate implements [deploy.DeployInterface]. The image has to be there.
func (d *Deploy) Validate(ctx context.Context, t *task.Task) error {
	_, err := d.parameters(ctx, "diskfile.Validate", t)
	return err
}

// parameters reads t's node and reports everything that is wrong with it.
func (d *Deploy) parameters(ctx context.Context, op string, t *task.Task) (p parameters, err error) {
	errs := []error{ctx.Err(), t.Node.Decode(op, &p)}
	refuse := func(field, why, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: field, Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, why), Remedy: remedy})
	}
	if p.Disk != "" && !isName(p.Disk) {
		refuse("driver_info.disk_file", "no name of a file", "name a file in the directory of disks, without a path")
	}
	if p.Image != "" && !d.hasImage(p.Image) {
		refuse("instance_info.image_source", "no image of that name", "name a file in the directory of images, without a path")
	}
	if sum, err := hex.DecodeString(p.Sum); p.Sum != "" && (err != nil || len(sum) != sha256.Size) {
		refuse("instance_info.image_os_hash_value", "no SHA-256", "set it to what sha256sum prints for the image")
	}
	return p, task.Join(errs...)
}

// isName reports whether s names a file in a directory, and no temporary one.
func isName(s string) bool {
	return fs.ValidPath(s) && !strings.ContainsAny(s, "/\\\x00") && !strings.HasPrefix(s, ".")
}

func (d *Deploy) hasImage(name string) bool {
	if !isName(name) {
		return false
	}
	info, err := os.Stat(filepath.Join(d.images, name))
	return err == nil && info.Mode().IsRegular()
}

// Stages implements [task.Stager].
func (d *Deploy) Stages(*task.Task) []string { return []string{StageImage} }

// Prepare implements [deploy.DeployInterface]: the image is on this host, and an
// instance needs nothing of it to boot.
func (d *Deploy) Prepare(ctx context.Context, _ *task.Task) error { return ctx.Err() }

// Deploy implements [deploy.DeployInterface]. The machine is off while its disk
// is written, and the deploy is complete when it is on again.
func (d *Deploy) Deploy(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "diskfile.Deploy"
	p, err := d.parameters(ctx, op, t)
	if err := task.Join(t.RequireExclusive(op), err); err != nil {
		return "", err
	}
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	if err := d.replace(t, p.Disk, func(disk *os.File) error { return d.write(ctx, t, p, disk) }); err != nil {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: "instance_info.image_source", Err: err}
	}
	return task.DeployDone, driver.SetPower(ctx, t, driver.PowerOn)
}

// replace fills a new file of the disk's size and puts it in the disk's place.
func (d *Deploy) replace(t *task.Task, name string, fill func(*os.File) error) (err error) {
	disks, err := os.OpenRoot(d.disks)
	if err != nil {
		return err
	}
	defer disks.Close()
	f, err := disks.Create(temporary(t))
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			disks.Remove(temporary(t))
		}
	}()
	if info, statErr := disks.Stat(name); statErr == nil {
		if err := f.Truncate(info.Size()); err != nil {
			return err
		}
	}
	if err := errors.Join(fill(f), f.Sync()); err != nil {
		return err
	}
	return disks.Rename(temporary(t), name)
}

// temporary depends on the node alone, so that CleanUp finds it whatever
// happened to the parameters, or to the process that made it.
func temporary(t *task.Task) string { return "." + t.Node.UUID + ".new" }

// write puts the image on disk, which is empty, and checks what is there then.
func (d *Deploy) write(ctx context.Context, t *task.Task, p parameters, disk *os.File) error {
	image, err := os.OpenInRoot(d.images, p.Image)
	if err != nil {
		return err
	}
	defer image.Close()
	info, imageErr := image.Stat()
	room, err := disk.Stat()
	if err := errors.Join(imageErr, err); err != nil {
		return err
	}
	if size := room.Size(); size > 0 && info.Size() > size {
		return fmt.Errorf("%w: the image has %d bytes, the disk %d", task.ErrInvalidParameter, info.Size(), size)
	}
	if err := disk.Truncate(max(info.Size(), room.Size())); err != nil {
		return err
	}
	zeros := make([]byte, chunk)
	err = chunks(ctx, image, func(off int64, data []byte) error {
		t.Observe(task.Evidence{Stage: StageImage, Done: off + int64(len(data)), Total: info.Size()})
		if bytes.Equal(data, zeros[:len(data)]) {
			return nil // a hole
		}
		_, err := disk.WriteAt(data, off)
		return err
	})
	if err != nil {
		return err
	}
	h := sha256.New()
	err = chunks(ctx, io.NewSectionReader(disk, 0, info.Size()), func(_ int64, data []byte) error { h.Write(data); return nil })
	if got := hex.EncodeToString(h.Sum(nil)); err == nil && !strings.EqualFold(got, p.Sum) {
		err = fmt.Errorf("%w: what was written has SHA-256 %s, not %s", task.ErrInvalidParameter, got, p.Sum)
	}
	return err
}

const chunk = 1 << 20

// chunks calls f with what r has, until ctx ends.
func chunks(ctx context.Context, r io.Reader, f func(off int64, data []byte) error) error {
	buf := make([]byte, chunk)
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := f(off, buf[:n]); err != nil {
				return err
			}
		}
		off += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// TearDown implements [deploy.DeployInterface]: it powers the node off.
func (d *Deploy) TearDown(ctx context.Context, t *task.Task) (task.State, error) {
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	return task.Deleted, nil
}

// CleanUp implements [deploy.DeployInterface]: it removes what a process that
// was killed left behind.
func (d *Deploy) CleanUp(_ context.Context, t *task.Task) error {
	disks, err := os.OpenRoot(d.disks)
	if err != nil {
		return err
	}
	defer disks.Close()
	if err := disks.Remove(temporary(t)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// TakeOver implements [deploy.DeployInterface].
func (d *Deploy) TakeOver(ctx context.Context, _ *task.Task) error { return ctx.Err() }

var erase = deploy.Step{Interface: string(driver.DeployRole), Name: "erase_disk", Priority: 10}

// Steps implements [deploy.Stepper]: cleaning erases the disk.
func (d *Deploy) Steps(_ context.Context, _ *task.Task, kind deploy.Kind) ([]deploy.Step, error) {
	if kind != deploy.CleanSteps {
		return nil, nil
	}
	return []deploy.Step{erase}, nil
}

// ExecuteStep implements [deploy.Stepper].
func (d *Deploy) ExecuteStep(ctx context.Context, t *task.Task, kind deploy.Kind, s deploy.Step) (task.State, error) {
	const op = "diskfile.ExecuteStep"
	if kind != deploy.CleanSteps || !s.Same(erase) {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: string(kind) + "_step", Err: fmt.Errorf("%w: step %s", task.ErrUnsupported, s)}
	}
	disk := t.Node.DriverInfo.Text("disk_file") // all that there is to know: the instance is gone
	if !isName(disk) {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.disk_file", Err: task.ErrInvalidParameter, Remedy: "name a file in the directory of disks"}
	}
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	if err := d.replace(t, disk, func(*os.File) error { return ctx.Err() }); err != nil {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.disk_file", Err: err}
	}
	return "", nil
}
