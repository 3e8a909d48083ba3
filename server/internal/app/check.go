package app

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/certs"
	"github.com/wabastream/wabastream/server/internal/guard"
	"github.com/wabastream/wabastream/server/internal/webhook"
)

const (
	// looseFile are the rights that no file of the configuration should give: writing,
	// to anyone but its owner. looseSecret are those of secrets and events: any to
	// everyone, and writing to the group.
	looseFile   fs.FileMode = 0o022
	looseSecret fs.FileMode = 0o027
)

// Verdict is what [Check] found, a sentence each that begins with the option that it
// is about.
type Verdict struct {
	// Problems would end a start.
	Problems []string
	// Risks would not. Whoever takes one should know it.
	Risks []string
}

// Check says what is wrong with a configuration and what is unsafe in it. It reads
// the files that the configuration names and touches nothing else: neither the log,
// nor an address, nor an issuer of JWTs. Path is the file of the configuration
// itself; empty if there is none.
func Check(config Config, path string) Verdict {
	c := &check{config: config}
	c.fail("", config.validate())
	c.sources()
	c.certificates()
	c.listeners()
	c.consumers()
	c.origins()
	c.nats()
	if path != "" {
		c.mode("config", path, looseFile)
	}
	c.mode("data_dir", config.DataDir, looseSecret)
	return c.Verdict
}

type check struct {
	Verdict

	config Config
}

// fail adds every line of an error.
func (c *check) fail(option string, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		c.Problems = append(c.Problems, option+line)
	}
}

func (c *check) risk(format string, args ...any) {
	c.Risks = append(c.Risks, fmt.Sprintf(format, args...))
}

func (c *check) sources() {
	sources, err := c.config.webhookSources()
	if err == nil {
		err = webhook.CheckSources(sources)
	}
	c.fail("", err)
	for _, s := range c.config.Sources {
		if s.AllowUnsigned {
			c.risk("sources: %q accepts unsigned callbacks, so that whoever reaches http_addr can make up events; give it access_keys and set allow_unsigned to false", s.Name)
		}
		for i, k := range s.AccessKeys {
			if slices.ContainsFunc(k.Algorithms, func(a string) bool { return strings.EqualFold(a, string(webhook.MD5)) }) {
				c.risk("sources: %q access_keys[%d] allows md5, which is broken; have the provider sign with sha256, and allow only that", s.Name, i)
			}
			if k.SecretFile != "" {
				c.mode(fmt.Sprintf("sources: %q access_keys[%d].secret_file", s.Name, i), k.SecretFile, looseSecret)
			}
		}
	}
}

func (c *check) certificates() {
	for _, pair := range []struct {
		options string
		config  certs.Config
	}{
		{"http_tls_cert_file, http_tls_key_file: ", certs.Config{CertFile: c.config.HTTPTLSCertFile, KeyFile: c.config.HTTPTLSKeyFile}},
		{"tls_cert_file, tls_key_file, tls_client_ca_file: ", certs.Config{CertFile: c.config.TLSCertFile, KeyFile: c.config.TLSKeyFile, ClientCAFile: c.config.TLSClientCAFile}},
	} {
		if pair.config.CertFile == "" || pair.config.KeyFile == "" {
			continue // validate knows whether that is a mistake
		}
		pair.config.Logger = c.warnings(pair.options)
		_, err := certs.New(pair.config)
		c.fail(pair.options, err)
	}
}

func (c *check) listeners() {
	needed := false
	for _, l := range []struct{ name, addr string }{
		{"http_addr", c.config.HTTPAddr}, {"api_addr", c.config.APIAddr}, {"grpc_addr", c.config.GRPCAddr},
	} {
		host, _, err := net.SplitHostPort(l.addr)
		why := c.config.exposure(l.name)
		if err != nil || guard.IsLoopback(host) || why == "" {
			continue
		}
		needed = true
		if c.config.InsecureListen {
			c.risk("%s: %q is not a loopback address, and %s", l.name, l.addr, why)
		}
	}
	if c.config.InsecureListen && !needed {
		c.risk("insecure_listen: is set, and no address needs it; remove it before one does")
	}
}

func (c *check) consumers() {
	switch {
	case c.config.asksNobody():
		c.risk("access_file: none, so that whoever reaches api_addr or grpc_addr sees every event, people included, and may operate the server; every program on this machine does")
	case c.config.AccessFile == "":
		c.risk("access_file: none, so that every certificate of tls_client_ca_file sees every event, people included, and may operate the server")
	}
	if c.config.AccessFile == "" {
		return
	}
	const option = "access_file: "
	policy, err := access.Open(access.Config{File: c.config.AccessFile, Logger: c.warnings(option)})
	if err != nil {
		c.fail(option, err)
		return
	}
	for _, risk := range policy.Risks() {
		c.risk("%s%s", option, risk)
	}
	if policy.NamesCertificates() && c.config.TLSClientCAFile == "" {
		c.risk("access_file: has consumers with certificates, and tls_client_ca_file is not set: they cannot get in")
	}
	if c.config.TLSCertFile == "" {
		c.risk("tls_cert_file: none, so that api_addr and grpc_addr speak plaintext: tokens and events can be read on the way, unless it leads through this machine only, for instance to a proxy that does TLS")
	}
}

func (c *check) origins() {
	for _, origin := range c.config.CORSOrigins {
		if u, err := url.Parse(origin); err == nil && u.Scheme == "http" && !guard.IsLoopback(u.Hostname()) {
			c.risk("cors_origins: %q is plaintext: whoever is on the way can change its pages, and use what they may see; serve them with TLS", origin)
		}
	}
}

// mode looks at who may do what with a file or folder, if it is there.
func (c *check) mode(option, path string, loose fs.FileMode) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&loose == 0 {
		return
	}
	want := fs.FileMode(0o600)
	if info.IsDir() {
		want = 0o700
	}
	may := "read or replace"
	if loose == looseFile {
		may = "replace"
	}
	c.risk("%s: others on this machine may %s it (%s); chmod %o it", option, may, info.Mode(), want)
}

// warnings makes risks of what a package would log of the files that it loads.
func (c *check) warnings(option string) *slog.Logger { return slog.New(warningHandler{c, option}) }

type warningHandler struct {
	check  *check
	option string
}

// Enabled implements slog.Handler.
func (h warningHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

// Handle implements slog.Handler.
func (h warningHandler) Handle(_ context.Context, r slog.Record) error {
	text := h.option + r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	h.check.Risks = append(h.check.Risks, text)
	return nil
}

// WithAttrs implements slog.Handler.
func (h warningHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h warningHandler) WithGroup(string) slog.Handler { return h }
