package initiator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// A unit is what a logical unit says of itself.
type unit struct {
	identity    scsi.Identity
	names       string // pages that tell it from others
	size        int64
	blockSize   int
	maxTransfer int // bytes of a command

	zeroes    bool // a block that is discarded reads as zeros
	unmap     bool // UNMAP
	writeSame bool // WRITE SAME (16) that unmaps
	limits    scsi.BlockLimits
}

func (u *unit) same(o *unit) bool {
	return u.identity == o.identity && u.names == o.names && u.size == o.size && u.blockSize == o.blockSize
}

// String says what a person sees of it.
func (u *unit) String() string {
	return fmt.Sprintf("%s %s of %d bytes in blocks of %d", u.identity.Vendor, u.identity.Product, u.size, u.blockSize)
}

const (
	probeTimeout = 30 * time.Second
	probeRetries = 10
)

// ask carries out a command of a probe and returns what it read.
func (s *session) ask(ctx context.Context, cdb scsi.CDB, n int) ([]byte, error) {
	for try := 0; ; try++ {
		var in []byte
		if n > 0 {
			in = make([]byte, n)
		}
		c := scsiCommand(s.cfg.LUN, cdb, nil, in)
		if err := s.do(ctx, c, probeTimeout); err != nil {
			return nil, err
		}
		err := c.failure()
		if err == nil {
			return in[:c.got], nil
		}
		v := verdict(err)
		if v == never || try == probeRetries {
			return nil, err
		}
		if v == later {
			if err := pause(ctx, try); err != nil {
				return nil, err
			}
		}
	}
}

// probe finds out what the logical unit is.
func (s *session) probe(ctx context.Context) (u unit, err error) {
	b, err := s.ask(ctx, scsi.InquiryCDB(-1, 96), 96)
	if err != nil {
		return u, err
	}
	if u.identity, err = scsi.ParseIdentity(b); err != nil {
		return u, fmt.Errorf("%w: INQUIRY: %v", ErrNotDisk, err)
	}
	if u.identity.Type>>5 != 0 {
		return u, s.noUnit(ctx)
	}
	if u.identity.Type != 0 {
		return u, fmt.Errorf("%w: logical unit %d is of type %02xh", ErrNotDisk, s.cfg.LUN, u.identity.Type)
	}
	if _, err := s.ask(ctx, scsi.CDB{scsi.TestUnitReady}, 0); err != nil {
		return u, err
	}
	capacity, err := s.capacity(ctx)
	if err != nil {
		return u, err
	}
	if err := u.setCapacity(capacity); err != nil {
		return u, err
	}
	return u, s.pages(ctx, &u, capacity)
}

// noUnit says which logical units there are instead.
func (s *session) noUnit(ctx context.Context) error {
	const room = 8 + 8*256
	luns := "unknown"
	if b, err := s.ask(ctx, scsi.ReportLUNsCDB(room), room); err == nil {
		if all, err := scsi.ParseLUNList(b); err == nil {
			luns = strings.Trim(fmt.Sprint(all), "[]")
		}
	}
	return fmt.Errorf("%w: no logical unit %d; there are: %s", ErrNotFound, s.cfg.LUN, luns)
}

func (s *session) capacity(ctx context.Context) (scsi.Capacity, error) {
	b, err := s.ask(ctx, scsi.ReadCapacity16CDB(), 32)
	if isUnsupported(err) {
		var short []byte
		short, err = s.ask(ctx, scsi.CDB{scsi.ReadCapacity10}, 8)
		if len(short) == 8 {
			b = append(make([]byte, 4), short...)
		}
	}
	if err != nil {
		return scsi.Capacity{}, err
	}
	c, err := scsi.ParseCapacity(b)
	if err != nil {
		err = fmt.Errorf("%w: READ CAPACITY: %v", ErrNotDisk, err)
	}
	return c, err
}

func (u *unit) setCapacity(c scsi.Capacity) error {
	bs := uint64(c.BlockSize)
	if bs < 512 || bs > 64<<10 || bs&(bs-1) != 0 {
		return fmt.Errorf("%w: blocks of %d bytes", ErrNotDisk, bs)
	}
	if c.LastLBA >= math.MaxInt64/bs {
		return fmt.Errorf("%w: %d blocks of %d bytes", ErrNotDisk, c.LastLBA, bs)
	}
	u.blockSize = int(bs)
	u.size = int64((c.LastLBA + 1) * bs)
	return nil
}

// pages reads the vital product data that there is.
func (s *session) pages(ctx context.Context, u *unit, capacity scsi.Capacity) error {
	page := func(n byte) ([]byte, error) {
		b, err := s.ask(ctx, scsi.InquiryCDB(int(n), 255), 255)
		if err != nil {
			var refused *CommandError
			if errors.As(err, &refused) {
				err = nil // there is no such page
			}
			return nil, err
		}
		content, err := scsi.ParsePage(n, b)
		if err != nil {
			return nil, nil
		}
		return content, nil
	}
	supported, err := page(scsi.PageSupported)
	if err != nil {
		return err
	}
	var provisioning scsi.Provisioning
	for _, n := range supported {
		switch n {
		case scsi.PageSerial, scsi.PageID, scsi.PageLimits, scsi.PageProvisioning:
		default:
			continue
		}
		content, err := page(n)
		switch {
		case err != nil:
			return err
		case n == scsi.PageLimits:
			u.limits = scsi.ParseBlockLimits(content)
		case n == scsi.PageProvisioning:
			provisioning = scsi.ParseProvisioning(content)
		default:
			u.names += fmt.Sprintf("%02x:%x ", n, content)
		}
	}
	u.unmap = capacity.Provisioning && provisioning.Unmap
	u.writeSame = capacity.Provisioning && provisioning.WriteSame16
	u.zeroes = (u.unmap || u.writeSame) && capacity.ReadsZeros // a target may promise it without a way to discard
	u.maxTransfer = maxTransfer
	if n := int64(u.limits.MaxTransfer); n > 0 {
		u.maxTransfer = int(max(min(n*int64(u.blockSize), maxTransfer), int64(u.blockSize)))
	}
	return nil
}
