package certs

import (
	"context"
	"time"
)

const (
	warnEvery = 24 * time.Hour
	// expirySoon is when an expiry is warned of. What is made for a short life is
	// renewed late in it, hence the share as well.
	expirySoon      = 7 * 24 * time.Hour
	expirySoonShare = 4
	// looseKey are the rights that a key's file should not give: any to everyone, and
	// writing to its group.
	looseKey = 0o027
)

// Run follows the files until the context ends. Call it once, and wait for it.
// A file system that hangs holds it up; handshakes go on with what is loaded.
func (s *Source) Run(ctx context.Context) {
	looks := time.NewTicker(s.config.Interval)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		s.look()
		s.warnOfExpiry()
	}
}

// look reads the files in full: they are small, and neither times nor inodes tell
// of every change behind links and on network file systems.
func (s *Source) look() {
	contents, err := readContents(s.config)
	found := contents.identity()
	if err != nil {
		found = err.Error()
	}
	settled := found == s.seen
	s.seen = found
	if found == s.inUse {
		s.refused = ""
		return
	}
	if !settled || found == s.refused {
		return
	}
	var fresh *material
	if err == nil {
		fresh, err = contents.parse(s.config.Now())
	}
	if err != nil {
		s.refused = found
		s.config.Logger.Error("new certificate files refused; what was loaded before stays in use", "error", err)
		return
	}
	s.use(fresh, found)
}

// use hands the material to all handshakes from now on.
func (s *Source) use(fresh *material, identity string) {
	s.current.Store(fresh)
	s.inUse, s.refused = identity, ""
	s.warnedAt = time.Time{}
	for _, v := range fresh.validities {
		s.expiry[v.file].Set(float64(v.notAfter.Unix()))
		s.config.Logger.Info("certificate loaded", "file", v.file, "subject", v.subject, "expires", v.notAfter)
	}
	if fresh.keyMode&looseKey != 0 {
		s.config.Logger.Warn("others on this machine may read or replace the private key; chmod 600 it", "file", s.config.KeyFile, "mode", fresh.keyMode.String())
	}
	s.warnOfExpiry()
}

// warnOfExpiry says once a day what is wrong with the dates of what is in use.
func (s *Source) warnOfExpiry() {
	now := s.config.Now()
	if now.Sub(s.warnedAt) < warnEvery {
		return
	}
	for _, v := range s.current.Load().validities {
		problem := v.problem(now)
		if problem == "" {
			continue
		}
		s.warnedAt = now
		s.config.Logger.Warn("certificate needs attention", "problem", problem, "file", v.file, "subject", v.subject, "from", v.notBefore, "expires", v.notAfter)
	}
}

// problem is empty if the certificate is valid, and will be for some time.
func (v validity) problem(now time.Time) string {
	soon := min(expirySoon, v.notAfter.Sub(v.notBefore)/expirySoonShare)
	switch {
	case now.Before(v.notBefore):
		return "not valid yet"
	case now.After(v.notAfter):
		return "expired"
	case v.notAfter.Sub(now) < soon:
		return "expires soon"
	default:
		return ""
	}
}
