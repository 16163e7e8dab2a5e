package driver_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

// picky is a deploy interface that needs a boot interface.
type picky struct{ *drivertest.CoreDeploy }

var errNeedsBoot = errors.New("it needs a boot interface")

func (picky) CheckSiblings(d *driver.Driver) error {
	if d.Boot == nil {
		return errNeedsBoot
	}
	return nil
}

// pickyBoot is a boot interface that needs two things at once.
type pickyBoot struct{ *drivertest.Boot }

func (pickyBoot) CheckSiblings(*driver.Driver) error {
	return task.Join(errors.New("it needs virtual media"), errors.New("it needs secure boot"))
}

// The wraps are decorators.
type (
	deployWrap struct{ deploy.DeployInterface }
	bootWrap   struct{ boot.BootInterface }
)

func (w deployWrap) Unwrap() deploy.DeployInterface { return w.DeployInterface }
func (w bootWrap) Unwrap() boot.BootInterface       { return w.BootInterface }

func TestCompose(t *testing.T) {
	power, dep := &drivertest.Power{}, &drivertest.Deploy{}
	wrapped := deployWrap{deployWrap{picky{dep}}}
	tests := []struct {
		name   string
		driver driver.Driver
		want   []string // none for a driver that fits
		is     error
	}{
		{"least", driver.Driver{Title: "d", Power: power, Deploy: dep}, nil, nil},
		{"whole", drivertest.Driver(nil), nil, nil},
		{"checker content", driver.Driver{Title: "d", Power: power, Deploy: wrapped, Boot: &drivertest.Boot{}}, nil, nil},
		{"no title", driver.Driver{Power: power, Deploy: dep},
			[]string{"driver.Compose: title: missing (set it to the name that nodes have in their driver field)"}, task.ErrMissingParameter},
		{"no power", driver.Driver{Title: "d", Deploy: dep}, []string{`driver.Compose: driver "d": power: missing`}, task.ErrMissingParameter},
		{"no deploy", driver.Driver{Title: "d", Power: power}, []string{`driver.Compose: driver "d": deploy: missing`}, task.ErrMissingParameter},
		{"checker", driver.Driver{Title: "d", Power: power, Deploy: picky{dep}},
			[]string{`driver.Compose: driver "d": deploy: it needs a boot interface`}, errNeedsBoot},
		{"checker behind decorators", driver.Driver{Title: "d", Power: power, Deploy: wrapped},
			[]string{`driver.Compose: driver "d": deploy: it needs a boot interface`}, errNeedsBoot},
		{"all reasons", driver.Driver{Boot: bootWrap{pickyBoot{}}}, []string{
			"driver.Compose: title: missing (set it to the name that nodes have in their driver field)",
			`driver.Compose: driver "": power: missing`,
			`driver.Compose: driver "": deploy: missing`,
			`driver.Compose: driver "": boot: it needs virtual media`,
			`driver.Compose: driver "": boot: it needs secure boot`,
		}, task.ErrMissingParameter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := driver.Compose(tt.driver)
			var texts []string
			for _, p := range task.Problems(err) {
				texts = append(texts, p.Error())
			}
			require.Equal(t, tt.want, texts)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
				require.Nil(t, got)
				return
			}
			require.Equal(t, &tt.driver, got)
		})
	}
}
