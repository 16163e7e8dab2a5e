package agent

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// logsTime is how long a ramdisk may take to gather its logs.
const logsTime = 30 * time.Second

// collectLogs keeps the logs of a ramdisk in which something failed. Where it
// fails itself, only the log says so: why the deploy failed is told already.
func (d *Deploy) collectLogs(ctx context.Context, t *task.Task) {
	if d.cfg.LogDir == "" {
		return
	}
	name, err := d.saveLogs(ctx, t)
	if err != nil {
		t.Log().Warn("the ramdisk's logs were not kept", "error", err)
		return
	}
	t.Log().Info("the ramdisk's logs are kept", "file", name)
}

func (d *Deploy) saveLogs(ctx context.Context, t *task.Task) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, logsTime, ErrUnreachable)
	defer cancel()
	res, err := d.ask(ctx, "agent.saveLogs", t.Node, Call{Name: "log.collect_system_logs", Wait: true})
	if err != nil {
		return "", err
	}
	var logs struct {
		Archive string `json:"system_logs"`
	}
	if err := json.Unmarshal(res.Result, &logs); err != nil || logs.Archive == "" {
		return "", errors.New("the ramdisk's answer has no logs")
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(logs.Archive), ""))
	if err != nil || !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return "", errors.New("the ramdisk's logs are no tar.gz in base64")
	}
	if err := os.MkdirAll(d.cfg.LogDir, 0o700); err != nil {
		return "", err
	}
	return writeLogs(filepath.Join(d.cfg.LogDir, logName(t.Node, time.Now())), data)
}

// logName is the name that Ironic gives such a file.
func logName(n *task.Node, at time.Time) string {
	parts := []string{n.UUID}
	for _, p := range []string{n.Name, n.InstanceUUID} {
		if p = strings.Map(fileRune, p); p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Map(fileRune, strings.Join(append(parts, at.UTC().Format("2006-01-02-15-04-05")), "_")) + ".tar.gz"
}

// fileRune drops what a file's name should not have.
func fileRune(r rune) rune {
	if strings.ContainsRune("-_", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

// writeLogs writes a file whole or not at all, for its owner alone: what a
// ramdisk logs may hold what its commands did.
func writeLogs(name string, data []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".logs-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("logs: %w", err)
	}
	return name, nil
}
