//go:build linux

// Ferrule-ramdisk is the agent of a ramdisk, and the only program that such a
// ramdisk needs: as the first process of a machine it mounts what the kernel has,
// loads modules, brings the network up by DHCP, and does what the conductor says
// that the kernel's command line names (ipa-api-url). Its log is on the console.
//
// In a ramdisk that has a first process of its own it only is the agent.
//
// A ramdisk that has a program /sbin/rescue can be handed to a rescue user: the
// agent then becomes that program. One that has none refuses a rescue, for there
// is nothing in it to log in to.
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/agent/ramdisk/linux"
)

func main() {
	first := os.Getpid() == 1
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if first {
		err := linux.Start()
		log = slog.New(slog.NewTextHandler(io.MultiWriter(os.Stderr, logFile()), nil))
		if err != nil {
			log.Error("not all of the machine is ready", "error", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	host := machine(log)
	for {
		err := run(ctx, log, host)
		if r, ok := host.(*linux.Rescue); ok && err == nil {
			err = r.HandOver()
		}
		if err == nil {
			log.Info("the machine was told to stop")
		} else {
			log.Error("the agent has ended", "error", err)
		}
		if !first {
			os.Exit(exitCode(err))
		}
		// The kernel does not outlive its first process. Where the agent cannot work
		// it tries again: whoever waits for it gives up and says why.
		time.Sleep(10 * time.Second)
	}
}

// logFile is what a conductor may ask for when something failed.
func logFile() io.Writer {
	err := os.MkdirAll(linux.LogDir, 0o700)
	var f *os.File
	if err == nil {
		f, err = os.Create(filepath.Join(linux.LogDir, "agent.log"))
	}
	if err != nil {
		return io.Discard
	}
	return f
}

// addressWait is how long the agent waits for DHCP before it tries what there is,
// as an address of IPv6.
const addressWait = 30 * time.Second

// machine is what the agent works on.
func machine(log *slog.Logger) ramdisk.Host {
	r, err := linux.NewRescue(linux.Host{})
	if err == nil {
		return r
	}
	if !errors.Is(err, fs.ErrNotExist) {
		log.Error("the machine cannot be rescued", "error", err)
	}
	return linux.Host{}
}

func run(ctx context.Context, log *slog.Logger, host ramdisk.Host) error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if os.Getpid() == 1 {
		network, stop := context.WithCancel(ctx)
		ended, ready := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			if err := (linux.Network{Logger: log, Ready: sync.OnceFunc(func() { close(ready) })}).Run(network); network.Err() == nil {
				log.Error("no network", "error", err)
			}
		}()
		defer func() {
			stop()
			<-ended
		}()
		select {
		case <-ready:
		case <-time.After(addressWait):
		case <-ctx.Done():
		}
	}
	return ramdisk.Run(ctx, ramdisk.Config{Parameters: ramdisk.ParseCommandLine(string(line)), Host: host, Logger: log})
}

func exitCode(err error) int {
	if err != nil {
		return 1
	}
	return 0
}
