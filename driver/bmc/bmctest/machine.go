package bmctest

import (
	"maps"
	"sync"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// The user that every machine knows.
const (
	User     = "operator"
	Password = "hunter2-canary"
)

// MinPassword is how many characters a password has at least.
const MinPassword = 8

// The names of the virtual drives.
const (
	CD     = "cd"
	Floppy = "floppy"
)

// State is what there is of a machine. It is copied by value.
type State struct {
	On         bool
	Jammed     bool // acknowledges power commands and stays as it is
	Unlicensed bool // has no licence for virtual media
	IPMIOff    bool // its BMC says that IPMI over LAN is off
	Once       boot.Device
	Persistent boot.Device
	Mode       task.BootMode
	SecureBoot bool
	NMIs       int
	Resets     int    // of the BMC
	BIOSResets int    // of the firmware's settings
	Keys       string // what was last done with the keys of secure boot

	// Post is how many more requests are answered while the machine is in POST.
	Post int

	// Down is how many more requests find the BMC starting anew.
	Down int
}

// A Machine is what a BMC works on. Use [NewMachine]. Hooks are set before it is
// used; they are called without a lock.
type Machine struct {
	OnPower func(on bool)
	OnBoot  func(d boot.Device, once bool)
	OnMedia func(drive, image string) // image "" when it is ejected

	// IsOn says whether the machine is on, where its system may switch it off.
	IsOn func() bool

	mu    sync.Mutex
	state State
	media map[string]string // images by drive
	users map[string]string
}

// NewMachine returns one that is off and starts from its disk, in UEFI.
func NewMachine() *Machine {
	return &Machine{
		state: State{Persistent: boot.Disk, Mode: task.UEFI},
		media: map[string]string{},
		users: map[string]string{User: Password},
	}
}

// State returns what the machine is.
func (m *Machine) State() State {
	m.mu.Lock()
	s := m.state
	m.mu.Unlock()
	if m.IsOn != nil {
		s.On = m.IsOn()
	}
	return s
}

// Change changes what the machine is, past its BMC.
func (m *Machine) Change(f func(s *State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.state)
}

// SetPassword makes password the user's, "" removes the user.
func (m *Machine) SetPassword(user, password string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users[user] = password; password == "" {
		delete(m.users, user)
	}
}

// Knows reports whether the user has that password.
func (m *Machine) Knows(user, password string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	want, ok := m.users[user]
	return ok && want == password
}

// SetPower switches the machine. A boot that was for once is used up.
func (m *Machine) SetPower(on bool) {
	if s := m.State(); s.Jammed || s.On == on {
		return
	}
	m.mu.Lock()
	m.state.On = on
	hook := m.OnPower
	m.mu.Unlock()
	if hook != nil {
		hook(on)
	}
	if on {
		m.Change(func(s *State) { s.Once = "" })
	}
}

// SetBoot sets what the machine starts from.
func (m *Machine) SetBoot(d boot.Device, once bool) {
	m.mu.Lock()
	if once {
		m.state.Once = d
	} else {
		m.state.Persistent, m.state.Once = d, ""
	}
	hook := m.OnBoot
	m.mu.Unlock()
	if hook != nil {
		hook(d, once)
	}
}

// Insert puts an image in a drive, "" takes out what is there.
func (m *Machine) Insert(drive, image string) {
	m.mu.Lock()
	if m.media[drive] = image; image == "" {
		delete(m.media, drive)
	}
	hook := m.OnMedia
	m.mu.Unlock()
	if hook != nil {
		hook(drive, image)
	}
}

// Media returns the images by drive.
func (m *Machine) Media() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.media)
}

// CountDown reports whether there is something left of a counter of the state, and
// takes one away.
func (m *Machine) CountDown(counter func(s *State) *int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := counter(&m.state)
	if *n <= 0 {
		return false
	}
	*n--
	return true
}
