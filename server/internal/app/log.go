package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wabastream/wabastream/server/internal/admin"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// The kinds of log.
const (
	logEmbedded  = "embedded"
	logJetStream = "jetstream"
)

// The ways in which the servers of NATS make events durable.
const (
	durabilitySynced     = "synced"
	durabilityReplicated = "replicated"
)

// openLog opens the log of the configuration, and what makes backups of it.
func (c Config) openLog(ctx context.Context, o pebblelog.Options) (eventlog.Log, admin.Log, error) {
	if !c.OnJetStream() {
		log, err := pebblelog.Open(ctx, c.DataDir, o)
		if err != nil {
			return nil, nil, err
		}
		return log, log, nil
	}
	log, err := natslog.Open(ctx, c.natsOptions(o))
	if err != nil {
		return nil, nil, err
	}
	return log, noBackups{}, nil
}

func (c Config) natsOptions(o pebblelog.Options) natslog.Options {
	return natslog.Options{
		URL:             c.NATSURL,
		CredentialsFile: c.NATSCredentialsFile,
		CAFile:          c.NATSCAFile, CertFile: c.NATSCertFile, KeyFile: c.NATSKeyFile,
		Stream: c.NATSStream, Replicas: c.NATSReplicas,
		IDHorizon: max(c.DuplicateHorizon, c.UntimedDuplicateHorizon),
		Dir:       c.DataDir,
		Store:     o,
		Logger:    o.Logger,
	}
}

// OnJetStream says that the log is a stream of NATS.
func (c Config) OnJetStream() bool { return c.Log == logJetStream }

// OpenImport opens the stream of a configuration to be filled with an export. Besides
// what its log needs the configuration may be incomplete.
func OpenImport(ctx context.Context, c Config, logger *slog.Logger) (*natslog.Importer, error) {
	if err := c.validateLog(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return natslog.OpenImporter(ctx, c.natsOptions(pebblelog.Options{Logger: logger, LockWait: c.LockWait, MinFreeBytes: c.MinFreeBytes}))
}

// noBackups is the log of a replica to whoever makes backups: what a copy of it would
// hold, the stream has.
type noBackups struct{}

// Backup implements admin.Log.
func (noBackups) Backup(context.Context, string) (eventlog.Backup, error) {
	return eventlog.Backup{}, fmt.Errorf("%w: the log is a stream of NATS: back it up, and OBJ_ with its name, with `nats stream backup`", admin.ErrNoBackups)
}

// validateLog checks which log there is.
func (c Config) validateLog() error {
	switch c.Log {
	case logEmbedded:
		for _, o := range []struct{ name, value string }{
			{"nats_url", c.NATSURL}, {"nats_durability", c.NATSDurability}, {"nats_credentials_file", c.NATSCredentialsFile},
			{"nats_ca_file", c.NATSCAFile}, {"nats_cert_file", c.NATSCertFile}, {"nats_key_file", c.NATSKeyFile},
		} {
			if o.value != "" {
				return fmt.Errorf("%s: is set, and the log is embedded; set log to jetstream, or remove it", o.name)
			}
		}
		return nil
	case logJetStream:
		return c.validateNATS()
	default:
		return fmt.Errorf("log: %q; want %s or %s", c.Log, logEmbedded, logJetStream)
	}
}

func (c Config) validateNATS() error {
	var errs []error
	if len(c.natsURLs()) == 0 {
		errs = append(errs, errors.New("nats_url: empty; name the servers, for instance tls://nats-0.nats:4222,tls://nats-1.nats:4222"))
	}
	for _, text := range c.natsURLs() {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			errs = append(errs, errors.New("nats_url: want URLs such as nats://host:4222 or tls://host:4222, separated by commas"))
		case u.User != nil:
			errs = append(errs, errors.New("nats_url: holds a user or a token; put credentials into a file and name it in nats_credentials_file"))
		}
	}
	switch c.NATSDurability {
	case durabilitySynced, durabilityReplicated:
	default:
		errs = append(errs, fmt.Errorf("nats_durability: %q; JetStream acknowledges events before they are on a disk unless its servers are told otherwise, and nobody but you can know that. "+
			"Set it to %s if every server has `sync_interval: always` in its jetstream block; or to %s to accept that events which were answered 200 are lost when most of the servers lose power, or their machines, at the same time",
			c.NATSDurability, durabilitySynced, durabilityReplicated))
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(c.NATSStream) {
		errs = append(errs, fmt.Errorf("nats_stream: %q; want a name of A-Z, a-z, 0-9, _ and - alone", c.NATSStream))
	}
	if !slices.Contains([]int{1, 3, 5}, c.NATSReplicas) {
		errs = append(errs, fmt.Errorf("nats_replicas: %d; want 1, 3 or 5", c.NATSReplicas))
	}
	if (c.NATSCertFile == "") != (c.NATSKeyFile == "") {
		errs = append(errs, errors.New("nats_cert_file, nats_key_file: set both or none"))
	}
	return errors.Join(errs...)
}

func (c Config) natsURLs() []string {
	return slices.DeleteFunc(strings.Split(c.NATSURL, ","), func(s string) bool { return s == "" })
}

// nats tells the risks of a log on NATS.
func (c *check) nats() {
	if !c.config.OnJetStream() {
		return
	}
	if c.config.NATSDurability == durabilityReplicated {
		c.risk("nats_durability: %s, so that events which were answered 200 are lost when most of the NATS servers lose power at the same time; set `sync_interval: always` in their jetstream block, and this to %s", durabilityReplicated, durabilitySynced)
	}
	if c.config.NATSReplicas == 1 {
		c.risk("nats_replicas: 1, so that one NATS server is all that holds the events; set it to 3")
	}
	for _, text := range c.config.natsURLs() {
		if u, err := url.Parse(text); err == nil && (u.Scheme == "nats" || u.Scheme == "ws") && c.config.NATSCAFile == "" && !guard.IsLoopback(u.Hostname()) {
			c.risk("nats_url: a server is reached in plaintext, unless it insists on TLS: whoever is on the way can read events and make them up; use tls://")
			break
		}
	}
	if c.config.NATSCredentialsFile == "" && c.config.NATSCertFile == "" {
		c.risk("nats_credentials_file: none, and no certificate, so that the NATS servers let in whoever reaches them")
	}
	for _, f := range []struct{ name, path string }{{"nats_credentials_file", c.config.NATSCredentialsFile}, {"nats_key_file", c.config.NATSKeyFile}} {
		if f.path != "" {
			c.mode(f.name, f.path, looseSecret)
		}
	}
	if oldest := max(c.config.DuplicateHorizon, c.config.UntimedDuplicateHorizon); c.config.RetentionAge > 0 && c.config.RetentionAge < oldest {
		c.risk("retention_age: %v is less than duplicate_horizon, %v, for which the stream keeps what was trimmed, so that ids stay known", c.config.RetentionAge.Round(time.Second), oldest)
	}
}
