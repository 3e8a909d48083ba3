// Package certs gives listeners their TLS certificate from files, and takes up
// new files without a restart.
//
// It guarantees that what cannot be used is never used: at a start it is an
// error, later it is logged once and what was loaded before stays in use. New
// connections get what was loaded last, open ones go on with what they began
// with. Every client certificate is verified in the handshake of its own
// connection, against the authorities loaded last. Nothing below TLS 1.2 is
// spoken.
//
// It does not know of revocation lists: to shut out one client, take away its
// grant; to shut out all of an authority, remove that from the file. Connections
// that are open then stay open.
package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const defaultInterval = 2 * time.Second

// Config is what a [Source] is made of. Each file is PEM, a regular file or a
// link to one, and at most 1 MiB.
type Config struct {
	// CertFile holds the server's certificate, first, and then those of the
	// intermediate authorities; KeyFile its private key, without a passphrase.
	// Both are required; they may be the same file.
	CertFile string
	KeyFile  string
	// ClientCAFile holds the authorities that client certificates have to come
	// from. Empty is for servers that ask for no client certificates.
	ClientCAFile string
	// Interval is the time between two looks at the files. New contents are taken
	// up at the second look that finds them, because certificate and key are rarely
	// replaced at the same moment. Zero or less is 2 s.
	Interval time.Duration
	// Logger receives what is loaded, what is refused, and what expires; nil
	// discards it.
	Logger *slog.Logger
	// Registerer receives wabastream_certificate_expiry_timestamp_seconds, for
	// CertFile and ClientCAFile; nil for none. Sources with a file in common share
	// its gauge.
	Registerer prometheus.Registerer
	// Now is the clock that certificates are judged by; nil is time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// ClientAuth says what a listener asks of its clients.
type ClientAuth int

const (
	// NoClientCertificates asks for none. Sessions may be resumed.
	NoClientCertificates ClientAuth = iota
	// OptionalClientCertificates verifies the certificate of whoever has one, and
	// lets in who has none: for listeners that know other credentials too. A
	// certificate that does not verify ends the connection.
	OptionalClientCertificates
	// RequiredClientCertificates lets in nobody without a certificate that verifies.
	RequiredClientCertificates
)

// Source is a certificate that follows its files while [Source.Run] runs. Its
// methods are safe for concurrent use, but for Run.
type Source struct {
	config  Config
	current atomic.Pointer[material]
	expiry  map[string]prometheus.Gauge // by file

	// The rest belongs to New, and to Run after it.

	inUse    string    // identity of the contents that are loaded
	seen     string    // of those at the last look
	refused  string    // of those that were refused last; empty if none since the last load
	warnedAt time.Time // zero before the first warning about what is loaded
}

// New loads the files. It errs if one of them is missing or cannot be used, if
// they do not belong together, if the server's certificate has expired, or if the
// Registerer refuses the metric. The error names the file.
func New(config Config) (*Source, error) {
	s := &Source{config: config.withDefaults()}
	found, err := readContents(s.config)
	if err != nil {
		return nil, err
	}
	fresh, err := found.parse(s.config.Now())
	if err != nil {
		return nil, err
	}
	if err := s.registerExpiry(fresh); err != nil {
		return nil, err
	}
	s.seen = found.identity()
	s.use(fresh, s.seen)
	return s, nil
}

func (s *Source) registerExpiry(m *material) error {
	s.expiry = make(map[string]prometheus.Gauge)
	for _, v := range m.validities {
		if s.expiry[v.file] != nil { // a certificate that is its own authority
			continue
		}
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{
			Name:        "wabastream_certificate_expiry_timestamp_seconds",
			Help:        "When the certificate in use expires, as Unix time; of client authorities the one that is first to.",
			ConstLabels: prometheus.Labels{"file": v.file},
		})
		if s.config.Registerer != nil {
			err := s.config.Registerer.Register(gauge)
			if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
				gauge, ok = already.ExistingCollector.(prometheus.Gauge) // of another listener with the same file
				if ok {
					err = nil
				}
			}
			if err != nil {
				return fmt.Errorf("register the expiry of %q: %w", v.file, err)
			}
		}
		s.expiry[v.file] = gauge
	}
	return nil
}

// Server returns the configuration of a listener. Protocols are what it offers by
// ALPN, the preferred one first: "h2" for gRPC, "h2" and "http/1.1" for HTTP.
// It errs if client certificates are asked for without a ClientCAFile: those of
// any public authority would do then.
//
// Where client certificates are asked for no session is resumed. A resumed one
// carries the verdict of an earlier handshake, while authorities come and go; and
// it saves little, as consumers keep their connections, and after a restart no
// ticket is good any more.
func (s *Source) Server(auth ClientAuth, protocols ...string) (*tls.Config, error) {
	verification, err := s.verification(auth)
	if err != nil {
		return nil, err
	}
	base := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		NextProtos:             slices.Clone(protocols),
		Time:                   s.config.Now,
		ClientAuth:             verification,
		SessionTicketsDisabled: verification != tls.NoClientCert,
	}
	config := base.Clone()
	// Listeners clone and adapt what they are given, so each of their handshakes
	// has to lead here. Tickets are sealed with keys of the listener's clone, and
	// so outlive a change of files.
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		current := s.current.Load()
		config := base.Clone()
		config.Certificates = []tls.Certificate{current.pair}
		config.ClientCAs = current.clientCAs
		return config, nil
	}
	return config, nil
}

func (s *Source) verification(auth ClientAuth) (tls.ClientAuthType, error) {
	switch auth {
	case NoClientCertificates:
		return tls.NoClientCert, nil
	case OptionalClientCertificates, RequiredClientCertificates:
	default:
		return 0, fmt.Errorf("client authentication %d is not known", auth)
	}
	if s.config.ClientCAFile == "" {
		return 0, errors.New("client certificates are asked for, but there is no file of client authorities; set one")
	}
	if auth == OptionalClientCertificates {
		return tls.VerifyClientCertIfGiven, nil
	}
	return tls.RequireAndVerifyClientCert, nil
}
