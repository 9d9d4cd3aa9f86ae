package main

import (
	"os"
	"slices"
	"time"

	"tailscale.com/tka"
)

// timedChonk is tka's store in memory with a clock of the world it is in.
// Compaction compares commit times with the wall clock, so what it is told is
// the wall clock less the age that an AUM has in the world, and half a second:
// the wall clock goes on between its readings, and an AUM of just the age that
// compaction asks for would seem younger.
type timedChonk struct {
	*tka.Mem
	now       int64
	committed map[tka.AUMHash]int64
	dieBefore string // of what is to be purged only hashes below this one go: then the process dies
}

func newTimedChonk() *timedChonk {
	return &timedChonk{Mem: tka.ChonkMem(), committed: map[tka.AUMHash]int64{}}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func (c *timedChonk) CommitVerifiedAUMs(updates []tka.AUM) error {
	for i := range updates {
		h := updates[i].Hash()
		if _, ok := c.committed[h]; !ok {
			c.committed[h] = c.now
		}
	}
	return c.Mem.CommitVerifiedAUMs(updates)
}

func (c *timedChonk) CommitTime(h tka.AUMHash) (time.Time, error) {
	at, ok := c.committed[h]
	if !ok {
		return time.Time{}, os.ErrNotExist
	}
	return time.Now().Add(-seconds(c.now-at) - time.Second/2), nil
}

func (c *timedChonk) PurgeAUMs(hashes []tka.AUMHash) error {
	if c.dieBefore != "" {
		hashes = slices.DeleteFunc(slices.Clone(hashes), func(h tka.AUMHash) bool { return h.String() >= c.dieBefore })
	}
	for _, h := range hashes {
		delete(c.committed, h)
	}
	return c.Mem.PurgeAUMs(hashes)
}

func (c *timedChonk) RemoveAll() error {
	clear(c.committed)
	return c.Mem.RemoveAll()
}
