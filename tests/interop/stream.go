package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
)

// seeded is an endless stream of bytes that a TypeScript twin computes as well
// (support/seeded_bytes.ts): successive states of Marsaglia's xorshift32, each
// written as four bytes, little end first. Seed 0 stands for 1.
type seeded struct {
	x    uint32
	word [4]byte
	left int // bytes of word not yet read
}

func newSeeded(seed uint32) *seeded {
	if seed == 0 {
		seed = 1
	}
	return &seeded{x: seed}
}

func (s *seeded) Read(p []byte) (int, error) {
	n := 0
	for ; s.left > 0 && n < len(p); n++ {
		p[n] = s.word[4-s.left]
		s.left--
	}
	for ; len(p)-n >= 4; n += 4 {
		binary.LittleEndian.PutUint32(p[n:], s.next())
	}
	if n < len(p) {
		binary.LittleEndian.PutUint32(s.word[:], s.next())
		s.left = 4 - copy(p[n:], s.word[:])
		n = len(p)
	}
	return n, nil
}

func (s *seeded) next() uint32 {
	s.x ^= s.x << 13
	s.x ^= s.x >> 17
	s.x ^= s.x << 5
	return s.x
}

// tally counts and hashes what passes through it.
type tally struct {
	n int64
	h hash.Hash
}

func newTally() *tally { return &tally{h: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	t.n += int64(len(p))
	return t.h.Write(p)
}

func (t *tally) sum() string { return hex.EncodeToString(t.h.Sum(nil)) }

// send writes n seeded bytes to w.
func send(w io.Writer, seed uint32, n int64) (*tally, error) {
	t := newTally()
	_, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, t)}, io.LimitReader(newSeeded(seed), n), make([]byte, 64<<10))
	return t, err
}

// receive reads r to its end, or n bytes when n is not negative.
func receive(r io.Reader, n int64) (*tally, error) {
	t := newTally()
	if n < 0 {
		_, err := io.CopyBuffer(t, struct{ io.Reader }{r}, make([]byte, 64<<10))
		return t, err
	}
	got, err := io.CopyBuffer(t, io.LimitReader(r, n), make([]byte, 64<<10))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}
