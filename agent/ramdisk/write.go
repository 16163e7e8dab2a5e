package ramdisk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
	"github.com/ferrule/ferrule/deploy/install"
	"github.com/ferrule/ferrule/task"
)

// written is an image that was put on a disk; no disk for none.
type written struct {
	disk  task.Disk
	uuids map[string]string // by Ironic's names
	whole bool              // the image is that of a whole disk

	elsewhere bool // by the conductor: it knows the rest
}

func (a *agent) lastWritten() written {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.written
}

func (a *agent) setWritten(w written) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written = w
}

// writeImage puts i on the root device and returns what became of it.
func (a *agent) writeImage(ctx context.Context, c *command, i *imageInfo) (string, error) {
	how, err := a.decide(ctx, i)
	if err != nil {
		return "", err
	}
	disks, err := a.host.Disks(ctx)
	if err != nil {
		return "", err
	}
	facts := a.told()
	target, err := facts.rootDevice(disks)
	if err != nil {
		return "", &commandError{
			"DeviceNotFound", http.StatusNotFound,
			"Error finding the disk or partition device to deploy the image onto", err.Error(),
		}
	}
	a.setWritten(written{})
	w := &imageWriter{agent: a, imageInfo: i, decided: how, name: target.Name, report: c.report}
	if err := a.onDisk(ctx, target, func(d *disk.Disk) error { return w.write(ctx, d) }); err != nil {
		return "", err
	}
	a.setWritten(written{disk: target, uuids: w.uuids, whole: !w.isPartition()})
	root := "None"
	if id := w.uuids[rootUUID]; id != "" {
		root = id
	}
	a.log.Info("image written", "image", i.ID, "disk", target.Name, "bytes", w.result.Size, "written", w.result.Written, "process_peak_mib", peakMemory())
	return fmt.Sprintf("image (%s) written to device %s root_uuid=%s", i.ID, target.Name, root), nil
}

// An imageWriter writes one image to one disk.
type imageWriter struct {
	*imageInfo
	decided
	agent  *agent
	name   string // of the disk
	report func(done, total int64)

	result image.Result
	uuids  map[string]string // by Ironic's names
}

func (w *imageWriter) write(ctx context.Context, d *disk.Disk) error {
	i := install.Instance{PreserveEphemeral: w.PreserveEphemeral, EphemeralFormat: w.EphemeralFormat, ConfigDrive: w.drive, Fill: w.fill}
	if w.isPartition() {
		i.Layout = &w.decided.layout
	}
	ids, err := install.Write(ctx, d, i)
	var known *commandError
	switch {
	case err == nil:
	case errors.As(err, &known) && err.Error() == known.Error():
		return err // of fill
	case errors.Is(err, install.ErrConfigDrive):
		return driveError(err)
	case errors.Is(err, install.ErrRootImage):
		return invalidImage(err.Error())
	default:
		return w.failed(err.Error())
	}
	w.uuids = map[string]string{}
	for name, id := range map[string]string{rootUUID: ids.Root, espUUID: ids.ESP, prepUUID: ids.PReP} {
		if id != "" {
			w.uuids[name] = id
		}
	}
	return nil
}

// fill puts the image on d, which is the disk or its root partition, from the
// first URL that has it.
func (w *imageWriter) fill(ctx context.Context, d *disk.Disk) error {
	s := &w.agent.settings
	if s.downloadMax > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.downloadMax, errors.New("ipa-image-download-max-duration is over"))
		defer cancel()
	}
	var problems []string
	for _, u := range w.URLs {
		source := &image.HTTP{
			URL: u, Header: w.header, Client: w.agent.client, Logger: w.agent.log,
			Retries: s.downloadRetries, RetryInterval: max(s.downloadInterval, 1), Stall: s.downloadStall, // 0 would be the default
		}
		var err error
		w.result, err = image.Write(ctx, d, source, image.Options{Format: w.format, Checksum: w.sum, Progress: w.progress})
		if err == nil {
			return nil
		}
		problems = append(problems, fmt.Sprintf("%s: %v", image.Shown(u), err))
		if ctx.Err() != nil {
			break
		}
		if !errors.Is(err, image.ErrSource) {
			return w.asCommandError(err)
		}
	}
	return downloadError(w.imageInfo, strings.Join(problems, "; "))
}

func (w *imageWriter) progress(done, total int64) { w.report(done, max(total, 0)) }

func (w *imageWriter) failed(details string) error {
	return &commandError{
		"ImageWriteError", http.StatusInternalServerError, "Error writing image to device",
		fmt.Sprintf("Writing image to device %s failed: %s", w.name, details),
	}
}

// asCommandError says what is wrong with the image or the disk by the names that
// ironic-python-agent has for it.
func (w *imageWriter) asCommandError(err error) error {
	var sum *image.ChecksumError
	switch {
	case errors.As(err, &sum):
		return &commandError{
			"ImageChecksumError", http.StatusInternalServerError, "Error verifying image checksum",
			fmt.Sprintf("Image failed to verify against checksum. location: %s; image ID: %s; image checksum: %s; verification checksum: %s",
				w.name, w.ID, sum.Want, sum.Got),
		}
	case errors.Is(err, image.ErrFormat), errors.Is(err, image.ErrUnsupported), errors.Is(err, image.ErrTruncated):
		return invalidImage(err.Error())
	}
	return w.failed(err.Error())
}
