//go:build linux

package ipminative_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/driver/ipminative"
	"github.com/ferrule/ferrule/driver/ipmitool"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// farmSize tells a child of the test binary to be so many BMCs.
const farmSize = "FERRULE_FARM"

// farm prints the ports of its BMCs, and serves until its input ends.
func farm() int {
	n, _ := strconv.Atoi(os.Getenv(farmSize))
	var ends []func()
	for range n {
		m, end, err := startMachine()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		ends = append(ends, end)
		fmt.Println(m.port)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, end := range ends {
		end()
	}
	return 0
}

// startFarm returns the ports of n BMCs in another process.
func startFarm(t *testing.T, n int) []int {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), farmSize+"="+strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	var ports []int
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		port, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		require.NoError(t, err)
		ports = append(ports, port)
	}
	require.Len(t, ports, n)
	return ports
}

func cpu(t *testing.T, who int) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(who, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Polling the power of many BMCs, beside ipmitool on the same ones.
func TestLabPolling(t *testing.T) {
	needLab(t)
	const bmcs, rounds, processes = 500, 20, 60
	ports := startFarm(t, bmcs)
	node := func(i int) *task.Task {
		return &task.Task{Node: nodeAt(ports[i])}
	}
	tool, err := ipmitool.New(ipmitool.Config{BMC: ipmi.Config{Pause: -1}})
	require.NoError(t, err)
	b := ipminative.New(ipminative.Config{})
	defer b.Close()

	poll := func(access *ipmi.Access, n int) {
		turns := make(chan int)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range turns {
					if _, err := access.Power().PowerState(t.Context(), node(i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range n {
			turns <- i % bmcs
		}
		close(turns)
		wg.Wait()
	}
	measure := func(access *ipmi.Access, who, n int) (perPoll time.Duration, perSecond float64) {
		start, before := time.Now(), cpu(t, who)
		poll(access, n)
		return (cpu(t, who) - before) / time.Duration(n), float64(n) / time.Since(start).Seconds()
	}
	logins, _ := measure(b.Access, syscall.RUSAGE_SELF, bmcs)
	require.Equal(t, bmcs, b.Sessions())
	kept, rate := measure(b.Access, syscall.RUSAGE_SELF, bmcs*rounds)
	own := cpu(t, syscall.RUSAGE_SELF)
	process, processRate := measure(tool, syscall.RUSAGE_CHILDREN, processes)
	process += (cpu(t, syscall.RUSAGE_SELF) - own) / processes // what starting processes costs
	t.Logf("CPU time a poll: ipmitool %s, native %s (%.0f times less), native with login %s (%.0f times less)",
		process, kept, float64(process)/float64(kept), logins, float64(process)/float64(logins))
	t.Logf("polls a second on this machine: ipmitool %.0f, native %.0f (%.0f times more)", processRate, rate, rate/processRate)
	require.Greater(t, float64(process)/float64(kept), 100.0, "a process and a login for each poll cost this much more")
	b.Close()
	require.Zero(t, b.Sessions())
}

func nodeAt(port int) *task.Node {
	n := tasktest.Node("n" + strconv.Itoa(port))
	n.DriverInfo = task.Info{"ipmi_address": "127.0.0.1", "ipmi_port": port, "ipmi_username": "admin", "ipmi_password": password}
	return n
}
