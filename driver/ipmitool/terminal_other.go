//go:build !linux

package ipmitool

import (
	"context"
	"errors"
	"io"
	"os/exec"
)

func openTerminal(context.Context, *exec.Cmd) (io.ReadWriteCloser, error) {
	return nil, errors.New("ipmitool: consoles need Linux")
}
