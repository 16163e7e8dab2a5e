package ipmitool_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// fakeDir tells a child of the test binary that it is ipmitool, and where its
// BMCs are.
const fakeDir = "FERRULE_FAKE_IPMITOOL"

const password = "correct-horse"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakeDir); dir != "" && len(os.Args) > 1 && os.Args[1] == "-I" { // and no fuzz worker
		os.Exit(fakeIpmitool(dir, os.Args[1:]))
	}
	dir, err := os.MkdirTemp("", "ipmitool")
	if err != nil {
		panic(err)
	}
	os.Setenv(fakeDir, dir)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or each child of a race test would take a second to end
	code := m.Run()
	os.RemoveAll(dir)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A bmc is what the fake keeps of one, in a file.
type bmc struct {
	On     bool
	Jammed bool // says yes to power commands and stays as it is
	Flags  []int
	Says   []string // complaints of the next commands
	Hangs  bool
	Calls  [][]string
	Env    []string // of the last call: what is for ipmitool
}

func bmcPath(address string) string { return filepath.Join(os.Getenv(fakeDir), address) }

func loadBMC(address string) bmc {
	var b bmc
	data, err := os.ReadFile(bmcPath(address))
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil && !os.IsNotExist(err) {
		panic(err)
	}
	return b
}

func (b bmc) save(address string) {
	data, _ := json.Marshal(b)
	if err := os.WriteFile(bmcPath(address), data, 0o600); err != nil {
		panic(err)
	}
}

// fakeIpmitool is ipmitool as far as the driver uses it.
func fakeIpmitool(_ string, args []string) int {
	complain := func(format string, a ...any) int {
		fmt.Fprintf(os.Stderr, format+"\n", a...)
		return 1
	}
	flags := flag.NewFlagSet("ipmitool", flag.ContinueOnError)
	text := map[string]*string{}
	for _, f := range strings.Split("I H p L U C m B T b t R N e", " ") {
		text[f] = flags.String(f, "", "")
	}
	byEnv, csv := flags.Bool("E", false, ""), flags.Bool("c", false, "")
	flags.Bool("K", false, "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	address := *text["H"]
	b := loadBMC(address)
	busy, err := os.OpenFile(bmcPath(address)+".busy", os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return complain("two commands at once: %v", err)
	}
	busy.Close()
	defer os.Remove(busy.Name())
	b.Calls = append(b.Calls, args)
	b.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return !strings.HasPrefix(v, "IPMI") })
	if len(b.Says) > 0 {
		say := b.Says[0]
		b.Says = b.Says[1:]
		b.save(address)
		return complain("%s", say)
	}
	defer func() { b.save(address) }()
	if !*byEnv || os.Getenv("IPMI_PASSWORD") != password {
		return complain("Error: Unable to establish IPMI v2 / RMCP+ session")
	}
	if b.Hangs {
		os.Remove(busy.Name())
		b.save(address)
		return hang(address)
	}
	words := flags.Args()
	switch {
	case words[0] == "raw":
		return b.raw(words[1:], complain)
	case *csv && slices.Equal(words, []string{"sdr", "elist", "full"}):
		fmt.Print("CPU Temp,37,degrees C,ok,3.1,Processor\nFan 1,5400,RPM,ok\nVolt,,Volts,ns\n\n")
	case words[0] == "sol" && words[1] == "activate":
		os.Remove(busy.Name())
		echo(os.Stdin, os.Stdout)
	case words[0] == "sol":
		return complain("Info: SOL payload already de-activated")
	default:
		return complain("Invalid command: %s", words[0])
	}
	return 0
}

func (b *bmc) raw(words []string, complain func(string, ...any) int) int {
	var data []int
	for _, w := range words {
		n, err := strconv.ParseUint(w, 0, 8)
		if err != nil {
			return complain("Given %q is invalid", w)
		}
		data = append(data, int(n))
	}
	switch fmt.Sprintf("%02x %02x", data[0], data[1]) {
	case "00 01":
		on := 0
		if b.On {
			on = 1
		}
		fmt.Printf(" %02x 00 00 00\n", on)
	case "00 02":
		switch {
		case b.Jammed:
		case data[2] == 0 || data[2] == 5:
			b.On = false
		case data[2] == 1:
			b.On = true
		}
		fmt.Print("\n")
	case "00 08":
		if data[2] == 5 {
			b.Flags = data[3:]
		}
		fmt.Print("\n")
	case "00 09":
		f := append(slices.Clone(b.Flags), 0, 0, 0, 0, 0)
		fmt.Printf(" 01 05 %02x %02x %02x\n %02x %02x\n", f[0], f[1], f[2], f[3], f[4])
	case "06 01":
		fmt.Print(" 20 81\n 00\n")
	case "06 02", "06 03":
		fmt.Print("\n")
	default:
		return complain("Unable to send RAW command (channel=0x0 netfn=0x%x lun=0x0 cmd=0x%x rsp=0xc1): Invalid command", data[0], data[1])
	}
	return 0
}

// hang ends when it is killed only, with a child that holds the pipes.
func hang(address string) int {
	signal.Ignore(os.Interrupt)
	child := exec.Command("sleep", "1000")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		panic(err)
	}
	name := bmcPath(address) + ".child"
	os.WriteFile(name+".new", []byte(strconv.Itoa(child.Process.Pid)), 0o600)
	os.Rename(name+".new", name)
	select {}
}

// echo is a console that answers each line in capitals.
func echo(in io.Reader, out io.Writer) {
	fmt.Fprint(out, "[SOL Session operational.  Use \xff? for help]\r\n")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		fmt.Fprintf(out, "%s\r\n", strings.ToUpper(strings.TrimRight(lines.Text(), "\r")))
	}
}
