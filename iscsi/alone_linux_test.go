package iscsi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func init() {
	stages["empty"] = emptyWorld
	stages["alone"] = checkAlone
}

const nobody = 65534

// TestUnprivileged deploys as a user without any privilege, where there are no
// devices, no network but the loopback, and no files of others that could be
// written.
func TestUnprivileged(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs namespaces, which not every machine allows")
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = nobody, nobody
	}
	var out bytes.Buffer
	err := again("empty", &out, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC,
		// It is root in there to mount and to bring the loopback up, and only there.
		UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: gid, Size: 1}},
		Credential: &syscall.Credential{NoSetGroups: true},
	})
	require.NoError(t, err, out.String())
	for _, name := range deploys {
		require.Contains(t, out.String(), "--- PASS: "+name+" ")
	}
	require.Contains(t, out.String(), "alone: <nil>\n")
}

// deploys are the tests that run without privilege.
var deploys = []string{"TestDeploy", "TestDeployPartitions", "TestFailures"}

// again runs those tests in a process of this program that begins with a stage.
func again(stage string, out io.Writer, how *syscall.SysProcAttr) error {
	self, err := os.Open("/proc/self/exe") // others may not enter the folder that it is in
	if err != nil {
		return err
	}
	defer self.Close()
	cmd := exec.Command("/proc/self/fd/3", "-test.v", "-test.run", "^("+strings.Join(deploys, "|")+")$")
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = []string{stageEnv + "=" + stage}
	cmd.Dir = "/"
	cmd.SysProcAttr = how
	how.Pdeathsig = syscall.SIGKILL
	in, feed, err := os.Pipe() // not /dev/null
	if err != nil {
		return err
	}
	defer in.Close()
	feed.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	return cmd.Run()
}

// emptyWorld leaves of the world an empty /dev, an empty /tmp and the loopback, and
// has the tests run in it as nobody.
func emptyWorld() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	for _, dir := range []string{"/dev", "/tmp"} {
		err = errors.Join(err, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=1777"))
	}
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	err = again("alone", os.Stdout, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, Size: 1}},
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true},
	})
	if err == nil {
		os.Exit(0)
	}
	return err
}

// checkAlone makes sure that the world is as empty as it is meant to be.
func checkAlone() error {
	var errs []error
	if os.Getuid() != nobody || os.Geteuid() != nobody {
		errs = append(errs, fmt.Errorf("user %d", os.Geteuid()))
	}
	status, err := os.ReadFile("/proc/self/status")
	errs = append(errs, err)
	for _, set := range []string{"CapPrm", "CapEff", "CapInh", "CapAmb"} {
		if !strings.Contains(string(status), "\n"+set+":\t0000000000000000\n") {
			errs = append(errs, errors.New("there are capabilities: "+set))
		}
	}
	devices, err := os.ReadDir("/dev")
	if errs = append(errs, err); len(devices) > 0 {
		errs = append(errs, fmt.Errorf("/dev has %d entries", len(devices)))
	}
	links, err := net.Interfaces()
	if errs = append(errs, err); len(links) != 1 || links[0].Name != "lo" {
		errs = append(errs, fmt.Errorf("interfaces %v", links))
	}
	err = errors.Join(errs...)
	fmt.Println("alone:", err)
	return err
}
