package certs_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/certs"
)

const refusal = "refused"

// settled is enough for a change to be seen twice.
const settled = 2 * interval

func TestNewPairUnderOpenConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := s.client(serve(t, s.follow(t), certs.NoClientCertificates))
		open, err := c.open(t)
		require.NoError(t, err)
		pass(time.Minute)
		require.Equal(t, "one", c.servedNow(t))

		s.writePair(t, s.server.issueServer(t, "two"))
		pass(settled)
		require.Equal(t, "two", c.servedNow(t))
		require.NoError(t, open.ask(), "an open connection goes on")
		require.Equal(t, "one", open.conn.ConnectionState().PeerCertificates[0].Subject.CommonName)
		require.Len(t, s.lines.with(`subject="CN=two"`), 1)

		pass(time.Minute)
		require.Len(t, s.lines.with("certificate loaded"), 4, "pair and authorities, twice")
		require.Empty(t, s.lines.with(refusal))
	})
}

// TestLinkSwap replaces files as Kubernetes does: all of them by one rename.
func TestLinkSwap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		publish := func(version string, p pair) {
			require.NoError(t, os.Mkdir(filepath.Join(s.dir, version), 0o700))
			s.write(t, filepath.Join(s.dir, version, "tls.crt"), p.cert)
			s.write(t, filepath.Join(s.dir, version, "tls.key"), p.key)
			require.NoError(t, os.Symlink(version, filepath.Join(s.dir, "..data_tmp")))
			require.NoError(t, os.Rename(filepath.Join(s.dir, "..data_tmp"), filepath.Join(s.dir, "..data")))
		}
		publish("..1", s.server.issueServer(t, "one"))
		s.config.CertFile, s.config.KeyFile = filepath.Join(s.dir, "tls.crt"), filepath.Join(s.dir, "tls.key")
		require.NoError(t, os.Symlink("..data/tls.crt", s.config.CertFile))
		require.NoError(t, os.Symlink("..data/tls.key", s.config.KeyFile))
		c := s.client(serve(t, s.follow(t), certs.NoClientCertificates))
		require.Equal(t, "one", c.servedNow(t))

		publish("..2", s.server.issueServer(t, "two"))
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "..1")))
		pass(settled)
		require.Equal(t, "two", c.servedNow(t))
		require.Empty(t, s.lines.with(refusal))
	})
}

// TestOneFileAfterTheOther replaces certificate and key a moment apart, with a
// look in between.
func TestOneFileAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := s.client(serve(t, s.follow(t), certs.NoClientCertificates))
		two := s.server.issueServer(t, "two")
		s.write(t, s.config.CertFile, two.cert)
		pass(interval)
		require.Equal(t, "one", c.servedNow(t))
		s.write(t, s.config.KeyFile, two.key)
		pass(settled)
		require.Equal(t, "two", c.servedNow(t))
		require.Empty(t, s.lines.with(refusal), "nobody has to hear of what is over already")
	})
}

func TestRefusedWhileRunning(t *testing.T) {
	t.Parallel()
	for name, test := range unusable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c := s.client(serve(t, s.follow(t), certs.OptionalClientCertificates))
				test.breakIt(t, s)
				pass(20 * interval)
				require.Equal(t, "one", c.servedNow(t), "what was loaded stays in use")
				refusals := s.lines.with(refusal)
				require.Len(t, refusals, 1)
				require.Contains(t, refusals[0], "level=ERROR")
				require.Contains(t, refusals[0], filepath.Base(test.file))
				require.Contains(t, refusals[0], test.problem)

				require.NoError(t, os.RemoveAll(filepath.Join(s.dir, test.file)))
				s.writePair(t, s.server.issueServer(t, "two"))
				s.write(t, s.config.ClientCAFile, s.clients.pem())
				pass(settled)
				require.Equal(t, "two", c.servedNow(t), "the right files are taken up")
				require.Len(t, s.lines.with(refusal), 1)
			})
		})
	}
}

// TestRefusedOnceMore breaks, restores and breaks the same file in the same way.
func TestRefusedOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.follow(t)
		before, err := os.ReadFile(s.config.CertFile)
		require.NoError(t, err)
		for n := range 2 {
			s.write(t, s.config.CertFile, before[:len(before)/2])
			pass(settled)
			require.Len(t, s.lines.with(refusal), n+1)
			s.write(t, s.config.CertFile, before)
			pass(settled)
		}
		require.Len(t, s.lines.with("certificate loaded"), 2, "pair and authorities, at the start")
	})
}

// TestConnectionsWhileReplacing shows the race detector handshakes that overlap
// with changes.
func TestConnectionsWhileReplacing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := s.client(serve(t, s.follow(t), certs.NoClientCertificates))
		var clients sync.WaitGroup
		for n := range 5 {
			s.writePair(t, s.server.issueServer(t, strconv.Itoa(n)))
			for range 20 {
				clients.Go(func() {
					<-time.After(settled) // on the tick of the look that loads
					_, err := c.open(t)
					assert.NoError(t, err)
				})
			}
			clients.Wait()
		}
		pass(settled)
		require.Equal(t, "4", c.servedNow(t))
	})
}

func TestExpiryIsWarnedOfOnceADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.config.Interval = time.Hour
		s.writePair(t, s.server.issue(t, "one", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-30*day), time.Now().Add(8*day+time.Minute)
		}))
		s.follow(t)
		pass(day)
		require.Empty(t, s.lines.with("expires soon"))
		pass(7 * day)
		require.Len(t, s.lines.with("expires soon"), 7)
		pass(2 * day)
		require.Len(t, s.lines.with("expires soon"), 7)
		require.Len(t, s.lines.with("problem=expired"), 2)

		s.writePair(t, s.server.issueServer(t, "two"))
		pass(2 * s.config.Interval)
		before := s.lines.with("problem=")
		pass(3 * day)
		require.Equal(t, before, s.lines.with("problem="), "the new one has time")
	})
}

// TestNewPairIsWarnedOfAtOnce although the one before was, on the same day.
func TestNewPairIsWarnedOfAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		writeLate := func(name string) {
			s.writePair(t, s.server.issue(t, name, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) }))
		}
		writeLate("one")
		s.follow(t)
		writeLate("two")
		pass(settled)
		require.Len(t, s.lines.with("expires soon"), 2)
		require.Contains(t, s.lines.with("expires soon")[1], "CN=two")
	})
}

// TestShortLivedCertificates are no reason to warn as long as they are renewed.
func TestShortLivedCertificates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.config.Interval = time.Minute
		renew := func() {
			s.writePair(t, s.server.issue(t, "one", func(c *x509.Certificate) {
				c.DNSNames, c.NotBefore, c.NotAfter = []string{"localhost"}, time.Now(), time.Now().Add(time.Hour)
			}))
		}
		renew()
		s.follow(t)
		for range 3 {
			pass(40 * time.Minute)
			renew()
		}
		require.Empty(t, s.lines.with("problem="))
		pass(50 * time.Minute)
		require.Len(t, s.lines.with("expires soon"), 1)
	})
}
