package task_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

const gib = int64(1) << 30

func ExampleRootDeviceHints_Find() {
	hints, err := task.ParseRootDeviceHints(map[string]any{"size": ">= 100", "rotational": false})
	if err != nil {
		fmt.Println(err)
		return
	}
	disk, err := hints.Find([]task.Disk{
		{Name: "/dev/sda", Size: 2000 << 30, Rotational: true},
		{Name: "/dev/nvme0n1", Size: 480 << 30},
	})
	fmt.Println(disk.Name, err)
	fmt.Println(hints)
	// Output:
	// /dev/nvme0n1 <nil>
	// rotational=false,size=%3E%3D%20100
}

func TestParseRootDeviceHints(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   any
		want task.RootDeviceHints
	}{
		{"nothing", nil, nil},
		{"empty text", " ", nil},
		{"empty object", map[string]any{}, nil},
		{"bare values", map[string]any{"model": " ST9500 ", "size": json.Number("60")},
			task.RootDeviceHints{"model": "ST9500", "size": "60"}},
		{"numbers of other kinds", map[string]any{"size": float64(60), "serial": 1234},
			task.RootDeviceHints{"size": "60", "serial": "1234"}},
		{"an Info", task.Info{"hctl": "1:0:0:0"}, task.RootDeviceHints{"hctl": "1:0:0:0"}},
		{"operators get one space", map[string]any{"size": ">=60", "model": "<OR>a b<or> c", "vendor": "S==  x"},
			task.RootDeviceHints{"size": ">= 60", "vendor": "s== x", "model": "<or> a b <or> c"}},
		{"booleans", map[string]any{"rotational": "Yes"}, task.RootDeviceHints{"rotational": "true"}},
		{"kernel argument", "wwn=0x5000,model=<in>%20big%2Cdisk, size = 10",
			task.RootDeviceHints{"wwn": "0x5000", "model": "<in> big,disk", "size": "10"}},
		{"kernel argument with operator", "size=>=10,serial=s!=%20a%3Db",
			task.RootDeviceHints{"size": ">= 10", "serial": "s!= a=b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := task.ParseRootDeviceHints(tc.in)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tc.want, got))

			again, err := task.ParseRootDeviceHints(got.String())
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(got, again))
		})
	}
}

func TestParseRootDeviceHintsNamesEveryProblem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in     any
		fields []string
	}{
		{[]any{"sda"}, []string{"root_device"}},
		{map[string]any{"color": "red", "size": "big", "rotational": "perhaps", "model": "<in>"},
			[]string{"root_device.color", "root_device.model", "root_device.rotational", "root_device.size"}},
		{map[string]any{"size": "-1"}, []string{"root_device.size"}},
		{map[string]any{"size": 60.5}, []string{"root_device.size"}},
		{map[string]any{"size": "s== 60"}, []string{"root_device.size"}},
		{map[string]any{"size": "<or> 60 <or>"}, []string{"root_device.size"}},
		{map[string]any{"size": true}, []string{"root_device.size"}},
		{map[string]any{"model": ""}, []string{"root_device.model"}},
		{map[string]any{"model": []any{"a"}}, []string{"root_device.model"}},
		{map[string]any{"model": ">= big"}, []string{"root_device.model"}},
		{map[string]any{"model": "<near> big"}, []string{"root_device.model"}},
		{map[string]any{"model": "<range-in> [ 1 2 ]"}, []string{"root_device.model"}},
		{map[string]any{"model": "a\nroot=/dev/sda"}, []string{"root_device.model"}},
		{"size", []string{"root_device"}},
		{"size=1,size=2", []string{"root_device.size"}},
		{"model=%zz", []string{"root_device.model"}},
	} {
		t.Run(fmt.Sprint(tc.in), func(t *testing.T) {
			t.Parallel()
			hints, err := task.ParseRootDeviceHints(tc.in)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.Nil(t, hints)
			var fields []string
			for _, p := range task.Problems(err) {
				var e *task.Error
				require.ErrorAs(t, p, &e)
				require.Contains(t, e.Remedy, "wwn_vendor_extension")
				fields = append(fields, e.Field)
			}
			require.Equal(t, tc.fields, fields)
		})
	}
}

func TestFindOperators(t *testing.T) {
	t.Parallel()
	disk := task.Disk{
		Name: "/dev/sda", Model: "BIG Disk", Vendor: "acme", Serial: "42", WWN: "0x5000C5", WWNWithExtension: "0x5000C501",
		WWNVendorExtension: "01", HCTL: "0:0:1:0", ByPath: "/dev/disk/by-path/pci-0", Transport: "sata",
		Size: 60*gib + 5, Rotational: true,
	}
	for key, exprs := range map[string]struct{ yes, no []string }{
		"model": {
			yes: []string{"big disk", "s== BIG disk", "s!= small", "<in> g d", "<all-in> disk big", "<or> x <or> big DISK", "s< c", "s<= big disk", "s> a", "s>= big disk"},
			no:  []string{"big", "s!= big disk", "<in> huge", "<all-in> big huge", "<or> big <or> disk", "s< big disk", "s<= a", "s> big disk", "s>= c", "== 1"},
		},
		"size": {
			yes: []string{"60", "== 60", "!= 61", "< 61", "<= 60", "> 59", ">= 60", "= 60", "= 10", "<or> 1 <or> 60"},
			no:  []string{"61", "== 61", "!= 60", "< 60", "<= 59", "> 60", ">= 61", "= 61", "<or> 1 <or> 2"},
		},
		"serial":               {yes: []string{"42", ">= 41", "== 42.0"}, no: []string{"43", "< 42"}},
		"rotational":           {yes: []string{"true", "on"}, no: []string{"false", "0"}},
		"name":                 {yes: []string{"/dev/sda"}, no: []string{"/dev/sdb"}},
		"vendor":               {yes: []string{"ACME"}, no: []string{"other"}},
		"wwn":                  {yes: []string{"0x5000c5"}, no: []string{"0x5000c501"}},
		"wwn_with_extension":   {yes: []string{"0x5000c501"}, no: []string{"0x5000c5"}},
		"wwn_vendor_extension": {yes: []string{"01"}, no: []string{"1"}},
		"hctl":                 {yes: []string{"0:0:1:0"}, no: []string{"0:0:0:0"}},
		"by_path":              {yes: []string{"<in> pci-0"}, no: []string{"<in> usb"}},
		"tran":                 {yes: []string{"sata"}, no: []string{"nvme"}},
	} {
		for _, expr := range exprs.yes {
			got, err := task.RootDeviceHints{key: expr}.Find([]task.Disk{disk})
			require.NoError(t, err, "%s %s", key, expr)
			require.Equal(t, disk, got)
		}
		for _, expr := range exprs.no {
			_, err := task.RootDeviceHints{key: expr}.Find([]task.Disk{disk})
			require.ErrorIs(t, err, task.ErrDiskNotFound, "%s %s", key, expr)
		}
	}
	_, err := task.RootDeviceHints{"serial": "s!= 1"}.Find([]task.Disk{{Name: "/dev/sdb"}})
	require.ErrorIs(t, err, task.ErrDiskNotFound, "an unknown serial satisfies nothing")
}

func TestFindChoosesOneDisk(t *testing.T) {
	t.Parallel()
	disks := []task.Disk{
		{Name: "/dev/sdd", Size: 9 * gib, Model: "a"},
		{Name: "/dev/sdc", Size: 8 * gib, Model: "a", ReadOnly: true},
		{Name: "/dev/sdb", Size: 9 * gib, Model: "b"},
		{Name: "/dev/sda", Size: 4*gib - 1},
	}
	got, err := task.RootDeviceHints(nil).Find(disks)
	require.NoError(t, err)
	require.Equal(t, "/dev/sdb", got.Name, "smallest that is large enough and writable, then by name")

	got, err = task.RootDeviceHints{"size": "9"}.Find(disks)
	require.NoError(t, err)
	require.Equal(t, "/dev/sdd", got.Name, "the first that fits")

	_, err = task.RootDeviceHints{"size": "8", "model": "a"}.Find(disks)
	require.ErrorIs(t, err, task.ErrDiskNotFound)
	require.ErrorContains(t, err, "model=a,size=8")
	require.ErrorContains(t, err, `/dev/sdc (8 GiB, model "a", serial "", read-only)`)

	_, err = task.RootDeviceHints(nil).Find(nil)
	require.ErrorIs(t, err, task.ErrDiskNotFound)
	_, err = task.RootDeviceHints{"size": "x", "colour": "red"}.Find(disks)
	require.Len(t, task.Problems(err), 2)
}

func TestDiskReadsInventory(t *testing.T) {
	t.Parallel()
	var d task.Disk
	require.NoError(t, json.Unmarshal([]byte(`{"name": "/dev/vda", "size": 5368709120, "rotational": true, "wwn": null,
		"serial": "S1", "by_path": "/dev/disk/by-path/x", "tran": "virtio", "logical_sectors": 512}`), &d))
	require.Equal(t, task.Disk{Name: "/dev/vda", Size: 5 * gib, Rotational: true, Serial: "S1",
		ByPath: "/dev/disk/by-path/x", Transport: "virtio"}, d)
}

func FuzzParseRootDeviceHints(f *testing.F) {
	for _, s := range []string{"", "size=10", "model=s%3D%3D%20x,wwn=0x1", "model=<or>a<or>b", "size=>=", "a=b", "=", "%", "rotational=1,,", "model=< <all-in> x", "vendor=\u017f== x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hints, err := task.ParseRootDeviceHints(s)
		if err != nil {
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			return
		}
		again, err := task.ParseRootDeviceHints(hints.String())
		require.NoError(t, err)
		require.Equal(t, hints, again)
		_, err = hints.Find([]task.Disk{{Name: "/dev/sda", Size: 8 << 30, Model: "x", Serial: "1"}})
		if err != nil {
			require.ErrorIs(t, err, task.ErrDiskNotFound)
		}
	})
}
