package certs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/certs"
)

// fault makes the files of a site unusable.
type fault struct {
	breakIt func(*testing.T, *site)
	file    string // that the error names
	problem string // what it says of it
}

func unusable() map[string]fault {
	return map[string]fault{
		"half a certificate":     {halve("server.crt"), "server.crt", "0 of 1 PEM blocks"},
		"half a key":             {halve("server.key"), "server.key", "0 of 1 PEM blocks"},
		"half of the clients'":   {halve("clients.pem"), "clients.pem", "0 of 1 PEM blocks"},
		"missing certificate":    {remove("server.crt"), "server.crt", "no such file"},
		"missing key":            {remove("server.key"), "server.key", "no such file"},
		"missing authorities":    {remove("clients.pem"), "clients.pem", "no such file"},
		"empty":                  {with("server.crt", nil), "server.crt", "empty"},
		"DER":                    {with("server.crt", []byte{0x30, 0x82}), "server.crt", "not PEM"},
		"too large":              {with("clients.pem", bytes.Repeat([]byte{'#'}, 1<<20+1)), "clients.pem", "larger than 1048576"},
		"no certificate inside":  {with("server.crt", pemOf("PRIVATE KEY", []byte("x"))), "server.crt", "holds no certificate, but private key"},
		"no key inside":          {with("server.key", pemOf("CERTIFICATE", []byte("x"))), "server.key", "holds no private key, but certificate"},
		"not a certificate":      {with("clients.pem", pemOf("CERTIFICATE", []byte("x"))), "clients.pem", "certificate 1: x509: malformed"},
		"not a key":              {with("server.key", pemOf("PRIVATE KEY", []byte("x"))), "server.key", "failed to parse private key"},
		"encrypted key":          {with("server.key", pemOf("ENCRYPTED PRIVATE KEY", []byte("x"))), "server.key", "without a passphrase"},
		"encrypted the old way":  {with("server.key", oldEncryptedKey()), "server.key", "without a passphrase"},
		"folder":                 {breakIt: folder, file: "server.key", problem: "not a regular file"},
		"half of a chain's end":  {breakIt: halfChain, file: "server.crt", problem: "1 of 2 PEM blocks"},
		"key of another":         {breakIt: mismatch, file: "server.key", problem: "private key does not match public key"},
		"certificate is expired": {breakIt: expired, file: "server.crt", problem: "expired on "},
	}
}

func halve(name string) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		require.NoError(t, err)
		s.write(t, filepath.Join(s.dir, name), data[:len(data)/2])
	}
}

func remove(name string) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		t.Helper()
		require.NoError(t, os.Remove(filepath.Join(s.dir, name)))
	}
}

func with(name string, data []byte) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		t.Helper()
		s.write(t, filepath.Join(s.dir, name), data)
	}
}

func oldEncryptedKey() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})
}

func folder(t *testing.T, s *site) {
	t.Helper()
	require.NoError(t, os.Remove(s.config.KeyFile))
	require.NoError(t, os.Mkdir(s.config.KeyFile, 0o700))
}

func halfChain(t *testing.T, s *site) {
	t.Helper()
	own := s.server.issueServer(t, "two")
	intermediate := s.server.pem()
	s.writePair(t, pair{cert: append(own.cert, intermediate[:len(intermediate)/2]...), key: own.key})
}

func mismatch(t *testing.T, s *site) {
	t.Helper()
	s.write(t, s.config.KeyFile, s.server.issueServer(t, "two").key)
}

func expired(t *testing.T, s *site) {
	t.Helper()
	s.writePair(t, s.server.issue(t, "two", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }))
}

func TestNoStartWithoutUsableFiles(t *testing.T) {
	t.Parallel()
	for name, test := range unusable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			test.breakIt(t, s)
			key, _ := os.ReadFile(s.config.KeyFile) // where it is readable
			_, err := certs.New(s.config)
			require.ErrorContains(t, err, `file "`+filepath.Join(s.dir, test.file)+`": `)
			require.ErrorContains(t, err, test.problem)
			for line := range bytes.Lines(key) {
				if len(line) > 40 {
					require.NotContains(t, err.Error(), string(bytes.TrimSpace(line)))
				}
			}
		})
	}
}

func TestFilesHaveToBeSet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.KeyFile = ""
	_, err := certs.New(s.config)
	require.EqualError(t, err, `key file "": not set; name one`)
}

func TestUsableFiles(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(*testing.T, *site){
		"as they are": func(*testing.T, *site) {},
		"no line break at the end": func(t *testing.T, s *site) {
			t.Helper()
			p := s.server.issueServer(t, "one")
			s.writePair(t, pair{bytes.TrimSpace(p.cert), bytes.TrimSpace(p.key)})
		},
		"text around": func(t *testing.T, s *site) {
			t.Helper()
			p := s.server.issueServer(t, "one")
			s.writePair(t, pair{append([]byte("Certificate:\n    Data:\n"), p.cert...), p.key})
		},
		"chain": func(t *testing.T, s *site) {
			t.Helper()
			p := s.server.issueServer(t, "one")
			s.writePair(t, pair{append(p.cert, s.server.pem()...), p.key})
		},
		"all in one file": func(t *testing.T, s *site) {
			t.Helper()
			p := s.server.issueServer(t, "one")
			s.write(t, s.config.CertFile, append(p.key, p.cert...))
			s.config.KeyFile = s.config.CertFile
		},
		"its own authority": func(_ *testing.T, s *site) { s.config.ClientCAFile = s.config.CertFile },
		"no authorities":    func(_ *testing.T, s *site) { s.config.ClientCAFile = "" },
		"no logger, no registerer": func(_ *testing.T, s *site) {
			s.config.Logger, s.config.Registerer = nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			arrange(t, s)
			source, err := certs.New(s.config)
			require.NoError(t, err)
			require.Equal(t, "one", s.client(serve(t, source, certs.NoClientCertificates)).servedNow(t))
			require.Empty(t, s.lines.with("level=WARN"))
		})
	}
}

func TestStartWarns(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrange func(*testing.T, *site)
		warning string
	}{
		"not valid yet": {func(t *testing.T, s *site) {
			t.Helper()
			s.writePair(t, s.server.issue(t, "one", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }))
		}, `problem="not valid yet"`},
		"expires soon": {func(t *testing.T, s *site) {
			t.Helper()
			s.writePair(t, s.server.issue(t, "one", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-30*day), time.Now().Add(6*day)
			}))
		}, `problem="expires soon"`},
		"one authority expired": {func(t *testing.T, s *site) {
			t.Helper()
			gone, _ := (&authority{}).sign(t, "gone", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
			s.write(t, s.config.ClientCAFile, append(s.clients.pem(), pemOf("CERTIFICATE", gone.Raw)...))
		}, `subject="CN=gone"`},
		"everyone may read the key": {func(t *testing.T, s *site) {
			t.Helper()
			require.NoError(t, os.Chmod(s.config.KeyFile, 0o644))
		}, "mode=-rw-r--r--"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			test.arrange(t, s)
			_, err := certs.New(s.config)
			require.NoError(t, err)
			require.Len(t, s.lines.with("level=WARN"), 1)
			require.Contains(t, s.lines.with("level=WARN")[0], test.warning)
		})
	}
}

func TestExpiryMetric(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	own := time.Now().Add(30 * day).Truncate(time.Second)
	s.writePair(t, s.server.issue(t, "one", func(c *x509.Certificate) { c.NotAfter = own }))
	_, err := certs.New(s.config)
	require.NoError(t, err)
	families, err := s.registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Equal(t, "wabastream_certificate_expiry_timestamp_seconds", families[0].GetName())
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		require.Len(t, m.GetLabel(), 1)
		require.Equal(t, "file", m.GetLabel()[0].GetName())
		got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	require.Equal(t, map[string]float64{
		s.config.CertFile:     float64(own.Unix()),
		s.config.ClientCAFile: float64(s.clients.certificate.NotAfter.Unix()),
	}, got)

	_, err = certs.New(s.config)
	require.NoError(t, err, "another listener may use the same files")
	families, err = s.registry.Gather()
	require.NoError(t, err)
	require.Len(t, families[0].GetMetric(), 2)

	s.config.Registerer = prometheus.NewRegistry()
	taken := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "wabastream_certificate_expiry_timestamp_seconds", ConstLabels: prometheus.Labels{"other": ""},
	})
	require.NoError(t, s.config.Registerer.Register(taken))
	_, err = certs.New(s.config)
	require.ErrorContains(t, err, "register the expiry of ")
}
