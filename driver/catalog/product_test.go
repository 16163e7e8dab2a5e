package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/boot/tftp"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/fake"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/driver/snmp"
	"github.com/ferrule/ferrule/driver/webhook"
	"github.com/ferrule/ferrule/driver/wol"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

// Each pair of parts either deploys a simulated machine or is refused by
// driver.Compose, with a reason. Machines that boot by pxe have BIOS and pxelinux; grub
// is not simulated.
func TestProduct(t *testing.T) {
	s := newSite(t)
	redfishes := &redfish.BMCs{Poll: time.Millisecond, Patience: 20 * time.Second}
	ilos := &ilo.BMCs{Poll: time.Millisecond, Patience: 20 * time.Second}
	s.ended = append(s.ended, redfishes.Close, ilos.Close)
	redfishMedia, err := redfishes.NewBoot(s.discs("redfish-discs"))
	require.NoError(t, err)
	iloMedia, err := ilos.NewBoot(s.discs("ilo-discs"))
	require.NoError(t, err)
	bmc := ipmi.New("ipmi", &simBMC{s}, ipmi.Config{PollPause: time.Millisecond})

	boots := []named[boot.BootInterface]{
		{"pxe", s.pxe()}, {"ipxe", s.ipxe("ipxe", false)}, {"http", s.ipxe("http", true)}, {"redfish", redfishMedia}, {"ilo", iloMedia}, {"fake", fake.Boot()}, {"none", nil},
	}
	deploys := []named[deploy.DeployInterface]{{"agent", s.agent()}, {"iscsi", s.iscsi()}, {"fake", fake.Deploy(fake.Config{})}}
	powers := []named[driver.PowerInterface]{
		{"ipmi", bmc.Power()}, {"redfish", redfishes.Power()}, {"ilo", ilos.Power()}, {"snmp", s.snmp()}, {"wol", s.wol()}, {"webhook", s.webhook()},
		{"fake", fake.Power(fake.Config{})},
	}
	managements := []named[driver.ManagementInterface]{
		{"ipmi", bmc.Management()}, {"redfish", redfishes.Management()}, {"ilo", ilos.Management()}, {"fake", fake.Management()}, {"none", nil},
	}

	var composed []string
	refused := map[string]string{}
	for _, b := range boots {
		for _, d := range deploys {
			for _, p := range powers {
				for _, m := range managements {
					name := strings.Join([]string{b.name, d.name, p.name, m.name}, "-")
					err := s.registry.Add(driver.Driver{Title: name, Boot: b.part, Deploy: d.part, Power: p.part, Management: m.part})
					if err != nil {
						refused[name] = err.Error()
						continue
					}
					composed = append(composed, name)
				}
			}
		}
	}
	s.start()
	for name, why := range refused {
		require.Contains(t, why, name, "the error names the driver")
		require.Regexp(t, "missing: .+|not supported: .+", why, "and says why")
	}
	// Where nobody sets the boot device, scripts of iPXE sleep before the disk: these
	// begin, and there are many at once.
	sleepers := slices.DeleteFunc(slices.Clone(composed), func(name string) bool { return !strings.HasSuffix(name, "-none") })
	composed = append(sleepers, slices.DeleteFunc(composed, func(name string) bool { return strings.HasSuffix(name, "-none") })...)
	var wg sync.WaitGroup
	turns := make(chan struct{}, 128)
	for i, name := range composed {
		s.enroll(i, name)
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := s.provision(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d composites deployed, %d were refused", len(composed), len(refused))
	for name, want := range map[string]bool{
		"ipxe-agent-ipmi-ipmi": true, "http-agent-snmp-none": true, "ipxe-agent-wol-none": true, "ipxe-agent-webhook-redfish": true, "none-fake-fake-fake": true,
		"redfish-agent-redfish-redfish": true, "ilo-agent-ilo-ilo": true, "http-agent-redfish-redfish": true,
		"pxe-agent-ipmi-ipmi": true, "pxe-iscsi-snmp-none": true, "ipxe-iscsi-wol-none": true, "redfish-iscsi-redfish-redfish": true, "ilo-iscsi-ilo-ilo": true,
		"none-iscsi-ipmi-ipmi": false, "fake-iscsi-redfish-redfish": false, "pxe-iscsi-ipmi-fake": false, "pxe-iscsi-fake-ipmi": false,
		"none-agent-ipmi-ipmi": false, "fake-agent-ipmi-ipmi": false, "ipxe-agent-fake-ipmi": false, "ipxe-agent-ipmi-fake": false,
	} {
		require.Equal(t, want, refused[name] == "", name)
	}
}

type named[T any] struct {
	name string
	part T
}

// A site has simulated machines, and everything that switches and serves them.
type site struct {
	t         *testing.T
	dir, base string
	mux       *http.ServeMux
	client    *http.Client
	fleet     sim.Fleet
	registry  driver.Registry
	conductor *conductor.Conductor

	mu      sync.Mutex
	byMAC   map[string]string // names of machines
	outlets []string          // of the power distribution unit, from 1
	loader  string            // URL of pxelinux
	wolPort int
	pduPort int
	ended   []func()
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), mux: http.NewServeMux(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, byMAC: map[string]string{}}
	for name, content := range map[string][]byte{"kernel": sim.Kernel(8 << 10), "ramdisk": sim.Ramdisk(8 << 10), "system.img": image} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), content, 0o644))
	}
	server := httptest.NewUnstartedServer(s.mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	s.base = server.URL
	t.Cleanup(func() {
		require.NoError(t, s.fleet.Close())
		for _, end := range s.ended {
			end()
		}
		s.client.CloseIdleConnections()
		server.Close()
	})
	return s
}

var image = sim.Image(64<<10, 1)

func (s *site) ipxe(prefix string, httpBoot bool) boot.BootInterface {
	tree := &artifact.Tree{}
	s.mux.Handle("/"+prefix+"/", http.StripPrefix("/"+prefix, tree))
	b, err := ipxe.New(s.t.Context(), ipxe.Config{Site: netboot.Site{Tree: tree, HTTP: s.base + "/" + prefix + "/", ImageDirs: []string{s.dir}}, HTTPBoot: httpBoot})
	require.NoError(s.t, err)
	return b
}

// pxe serves what pxelinux fetches by TFTP.
func (s *site) pxe() boot.BootInterface {
	tree := &artifact.Tree{}
	loader := filepath.Join(s.dir, "pxelinux.0")
	require.NoError(s.t, os.WriteFile(loader, []byte("loader"), 0o644))
	b, err := pxe.New(s.t.Context(), pxe.Config{Site: netboot.Site{Tree: tree, ImageDirs: []string{s.dir}}, LoaderFiles: map[string]string{"pxelinux.0": loader}})
	require.NoError(s.t, err)
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	server := &tftp.Server{Files: tree}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ctx, conn) })
	s.ended = append(s.ended, func() { cancel(); serving.Wait() })
	s.loader = "tftp://" + conn.LocalAddr().String() + "/pxelinux.0"
	return b
}

func (s *site) agent() deploy.DeployInterface {
	tree := &artifact.Tree{}
	s.mux.Handle("/images/", http.StripPrefix("/images", tree))
	d, err := agent.New(agent.Config{APIURL: s.base, Tree: tree, TreeURL: s.base + "/images/", ImageDirs: []string{s.dir}, HTTPClient: s.client})
	require.NoError(s.t, err)
	return d
}

// iscsi writes to the machines' disks, which each exports at its own address: the port
// is one for all.
func (s *site) iscsi() deploy.DeployInterface {
	probe, err := net.Listen("tcp", address(0)+":0")
	if err != nil {
		s.t.Skip("needs addresses beyond 127.0.0.1, as Linux has them")
	}
	defer probe.Close()
	d, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: s.base, ImageDirs: []string{s.dir}, HTTPClient: s.client}, Port: probe.Addr().(*net.TCPAddr).Port})
	require.NoError(s.t, err)
	return d
}

// address is that of machine i.
func address(i int) string { return fmt.Sprintf("127.1.%d.%d", i>>8, i&0xff) }

func (s *site) start() {
	var err error
	s.conductor, err = conductor.New(conductor.Config{Store: &task.MemoryStore{}, Registry: &s.registry, CallbackTimeout: time.Minute, StepTimeout: time.Minute})
	require.NoError(s.t, err)
	h, err := agent.NewHandler(agent.HandlerConfig{Manager: s.conductor.Manager(), Heartbeat: s.conductor.Heartbeat, HeartbeatTimeout: 2 * time.Second})
	require.NoError(s.t, err)
	s.mux.Handle("/", h)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.conductor.Run(ctx) })
	s.ended = append(s.ended, func() { cancel(); running.Wait() })
}

// discs is a place for virtual CDs.
func (s *site) discs(prefix string) vmedia.Site {
	d := new(vmedia.Discs)
	s.mux.Handle("/"+prefix+"/", http.StripPrefix("/"+prefix, d))
	loaders := map[string]string{}
	for _, name := range []string{"isolinux.bin", "ldlinux.c32", "bootx64.efi", "grubx64.efi"} {
		loaders[name] = filepath.Join(s.dir, name)
		require.NoError(s.t, os.WriteFile(loaders[name], []byte(strings.Repeat(name, 300)), 0o644))
	}
	return vmedia.Site{Discs: d, URL: s.base + "/" + prefix, Loaders: loaders, ImageDirs: []string{s.dir}}
}

// bmcs gives a machine the BMCs that its node's drivers speak to.
func (s *site) bmcs(name string, m *sim.Machine, info task.Info) {
	seen := bmctest.NewMachine()
	seen.IsOn = func() bool { state, _ := m.State(); return state != sim.Off }
	seen.OnPower = func(on bool) {
		if on {
			m.PowerOn()
		} else {
			m.PowerOff()
		}
	}
	seen.OnBoot = func(d boot.Device, once bool) { m.SetBootDevice(driver.BootSetting{Device: d, Persistent: !once}) }
	seen.OnMedia = func(string, string) { m.SetMedia(seen.Media()[bmctest.CD], seen.Media()[bmctest.Floppy]) }
	if strings.Contains(name, "redfish") {
		b := redfishtest.Start(redfishtest.Config{Machine: seen})
		s.ended = append(s.ended, b.Close)
		info["redfish_address"], info["redfish_username"], info["redfish_password"], info["redfish_fingerprint"] = b.URL, bmctest.User, bmctest.Password, b.Fingerprint()
	}
	if strings.Contains(name, "ilo") {
		i := ilotest.Start(ilotest.Config{Machine: seen})
		s.ended = append(s.ended, i.Close)
		maps.Copy(info, i.DriverInfo())
	}
}

// enroll makes a machine and a node that has every part's parameters.
func (s *site) enroll(i int, name string) {
	mac := fmt.Sprintf("52:54:00:00:%02x:%02x", i>>8, i&0xff)
	config := sim.MachineConfig{Name: name, MACs: []string{mac}, Address: address(i), Dir: s.dir, HTTP: s.client,
		HeartbeatGap: 20 * time.Millisecond, DiskSize: 1 << 20}
	prefix, _, _ := strings.Cut(name, "-")
	first := boot.PXE // where the boot order is set by hand
	switch prefix {
	case "pxe":
		config.BootFile, config.Firmware = s.loader, task.BIOS
	case "http":
		config.BootFile = s.base + "/http/boot.ipxe"
	case "redfish", "ilo":
		first = boot.CDROM
		fallthrough
	default:
		config.BootFile = s.base + "/ipxe/boot.ipxe"
	}
	m, err := s.fleet.Add(config)
	require.NoError(s.t, err)
	s.mu.Lock()
	s.byMAC[mac] = name
	s.outlets = append(s.outlets, name)
	outlet := len(s.outlets)
	s.mu.Unlock()
	if strings.HasSuffix(name, "-none") {
		m.SetBootDevice(driver.BootSetting{Device: first, Persistent: true})
	}
	info := task.Info{
		"deploy_kernel": filepath.Join(s.dir, "kernel"), "deploy_ramdisk": filepath.Join(s.dir, "ramdisk"),
		"sim_machine": name, "ipmi_address": name, "webhook_url": s.base + "/power/" + name, "wol_host": "127.0.0.1", "wol_port": s.wolPort,
		"snmp_driver": "aten", "snmp_address": "127.0.0.1", "snmp_port": s.pduPort, "snmp_outlet": outlet, "snmp_community": "public",
	}
	s.bmcs(name, m, info)
	clean := false // a deploy is enough
	require.NoError(s.t, s.conductor.Enroll(s.t.Context(), &task.Node{
		Name: name, Driver: name,
		Properties: task.Info{"root_device": map[string]any{"name": "/dev/vda"}},
		DriverInfo: info, AutomatedClean: &clean,
		InstanceInfo: task.Info{"image_source": filepath.Join(s.dir, "system.img"), "image_os_hash_algo": "sha256", "image_os_hash_value": sim.Digest(image)},
	}, &task.Port{Address: mac}))
}

// provision deploys the node and tears it down again.
func (s *site) provision(name string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.conductor.Bring(ctx, name, task.Active); err != nil {
		return err
	}
	m := s.fleet.Machine(name)
	if strings.Contains(name, "-agent-") || strings.Contains(name, "-iscsi-") {
		if _, err := m.WaitState(ctx, sim.Instance); err != nil {
			return err
		}
	}
	if err := s.conductor.TearDown(ctx, name); err != nil {
		return err
	}
	if err := s.conductor.WaitFor(ctx, name, task.Available); err != nil {
		return err
	}
	if state, _ := m.State(); state != sim.Off {
		return fmt.Errorf("the machine is %s after the tear down", state)
	}
	return nil
}

// machine returns a task on a machine of the fleet.
func (s *site) machine(name string) *task.Task {
	return &task.Task{Node: &task.Node{Name: name, DriverInfo: task.Info{"sim_machine": name}}}
}

func (s *site) on(ctx context.Context, name string) (bool, error) {
	state, err := s.fleet.Power().PowerState(ctx, s.machine(name))
	return state == driver.PowerOn, err
}

func (s *site) set(ctx context.Context, name string, on bool) error {
	state := driver.PowerOff
	if on {
		state = driver.PowerOn
	}
	return s.fleet.Power().SetPowerState(ctx, s.machine(name), state)
}

// A simBMC is an IPMI client whose BMCs are those of simulated machines, by address.
type simBMC struct{ site *site }

func (c *simBMC) Check(*ipmi.BMC) error { return nil }

func (c *simBMC) Command(ctx context.Context, b *ipmi.BMC, r ipmi.Request) ([]byte, error) {
	switch {
	case r.NetFn == 0 && r.Command == 1:
		on, err := c.site.on(ctx, b.Address)
		if on {
			return []byte{1}, err
		}
		return []byte{0}, err
	case r.NetFn == 0 && r.Command == 2:
		return nil, c.site.set(ctx, b.Address, r.Data[0] == 1)
	case r.NetFn == 0 && r.Command == 8 && r.Data[0] == 5:
		device := map[byte]boot.Device{0x04: boot.PXE, 0x08: boot.Disk, 0x14: boot.CDROM}[r.Data[2]]
		c.site.fleet.Machine(b.Address).SetBootDevice(driver.BootSetting{Device: device, Persistent: r.Data[1]&0x40 != 0})
		return nil, nil
	}
	return nil, &ipmi.CompletionError{Request: r, Code: 0x80}
}

func (c *simBMC) Sensors(context.Context, *ipmi.BMC) ([]driver.Sensor, error) { return nil, nil }

func (c *simBMC) Console(context.Context, *ipmi.BMC) (io.ReadWriteCloser, error) {
	return nil, errors.New("no console")
}

func (s *site) webhook() driver.PowerInterface {
	s.mux.HandleFunc("/power/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if r.Method == http.MethodPost {
			var order struct{ Target string }
			err := json.NewDecoder(r.Body).Decode(&order)
			if err = errors.Join(err, s.set(r.Context(), name, order.Target == "power on")); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		on, _ := s.on(r.Context(), name)
		_ = json.NewEncoder(w).Encode(map[string]string{"power_state": map[bool]string{true: "power on", false: "power off"}[on]})
	})
	return webhook.New(webhook.Config{HTTPClient: s.client, PollPause: time.Millisecond})
}

// listen answers packets until the site ends, and returns the port.
func (s *site) listen(answer func(packet []byte) []byte) int {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(s.t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for b := make([]byte, 2048); ; {
			n, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			if a := answer(b[:n]); a != nil {
				_, _ = conn.WriteToUDP(a, from)
			}
		}
	})
	s.ended = append(s.ended, func() { conn.Close(); serving.Wait() })
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func (s *site) wol() driver.PowerInterface {
	s.wolPort = s.listen(func(packet []byte) []byte {
		s.mu.Lock()
		name := s.byMAC[net.HardwareAddr(packet[6:12]).String()]
		s.mu.Unlock()
		_ = s.set(context.Background(), name, true)
		return nil
	})
	name := func(t *task.Task) string { return t.Node.DriverInfo.Text("sim_machine") }
	return wol.New(wol.Config{
		Running: func(ctx context.Context, t *task.Task) (bool, error) { return s.on(ctx, name(t)) },
		Off:     func(ctx context.Context, t *task.Task) error { return s.set(ctx, name(t), false) },
		Pause:   time.Millisecond,
	})
}

func (s *site) snmp() driver.PowerInterface {
	s.pduPort = s.listen(func(packet []byte) []byte {
		request, err := new(gosnmp.GoSNMP).SnmpDecodePacket(packet)
		if err != nil || len(request.Variables) != 1 {
			return nil
		}
		v := request.Variables[0]
		parts := strings.Split(v.Name, ".") // ....outlet.0
		outlet, err := strconv.Atoi(parts[len(parts)-2])
		if err != nil {
			return nil
		}
		s.mu.Lock()
		name := s.outlets[outlet-1]
		s.mu.Unlock()
		if request.PDUType == gosnmp.SetRequest {
			_ = s.set(context.Background(), name, v.Value == 2)
		}
		on, _ := s.on(context.Background(), name)
		v.Type, v.Value = gosnmp.Integer, map[bool]int{true: 2, false: 1}[on]
		answer := &gosnmp.SnmpPacket{Version: request.Version, Community: request.Community, PDUType: gosnmp.GetResponse, RequestID: request.RequestID, Variables: []gosnmp.SnmpPDU{v}}
		data, _ := answer.MarshalMsg()
		return data
	})
	return snmp.New(snmp.Config{PollPause: time.Millisecond})
}
