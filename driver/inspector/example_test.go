package inspector_test

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/task"
)

func ExampleRules_Record() {
	f, err := inspector.ParseFound(strings.NewReader(`{"inventory": {
		"interfaces": [{"name": "eth0", "mac_address": "52:54:00:12:34:56", "has_carrier": true}, {"name": "eth1", "mac_address": "52:54:00:12:34:57"}],
		"disks": [{"name": "/dev/vda", "size": 21474836480}],
		"cpu": {"count": 4, "architecture": "x86_64"}, "memory": {"physical_mb": 8192}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	t := &task.Task{Node: &task.Node{Name: "n1"}}
	err = inspector.Rules{}.Record(t, f)
	p := t.Node.Properties
	fmt.Println(p["cpus"], p["cpu_arch"], p["memory_mb"], p["local_gb"], len(t.Ports), t.Ports[0].Address, err)
	// Output: 4 x86_64 8192 19 1 52:54:00:12:34:56 <nil>
}
