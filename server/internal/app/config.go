package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wabastream/wabastream/server/internal/guard"
	"github.com/wabastream/wabastream/server/internal/stream"
	"github.com/wabastream/wabastream/server/internal/webhook"
)

// Config is everything an operator can set. The koanf names are those of the
// configuration file; see [DefaultConfig] for the defaults.
type Config struct {
	// HTTPAddr faces the provider: /webhooks/{source} and /healthz.
	HTTPAddr string `koanf:"http_addr"`
	// APIAddr faces insiders: REST, /readyz and /metrics.
	APIAddr string `koanf:"api_addr"`
	// GRPCAddr is gRPC.
	GRPCAddr string `koanf:"grpc_addr"`
	// DataDir holds the log, or this replica's copy of it; it is made when missing.
	DataDir string `koanf:"data_dir"`
	// Log is where the log is: "embedded" in DataDir, or in a stream of NATS
	// "jetstream", which several replicas of the server share.
	Log string `koanf:"log"`
	// NATSURL names the servers of NATS, separated by commas. NATSCredentialsFile holds
	// a user's JWT and key; NATSCAFile the authorities of the servers' certificates;
	// NATSCertFile and NATSKeyFile a certificate for this replica.
	NATSURL             string `koanf:"nats_url"`
	NATSCredentialsFile string `koanf:"nats_credentials_file"`
	NATSCAFile          string `koanf:"nats_ca_file"`
	NATSCertFile        string `koanf:"nats_cert_file"`
	NATSKeyFile         string `koanf:"nats_key_file"`
	// NATSStream is the name of the stream, made when missing, and NATSReplicas how
	// many servers keep it: 1, 3 or 5.
	NATSStream   string `koanf:"nats_stream"`
	NATSReplicas int    `koanf:"nats_replicas"`
	// NATSDurability says what an acknowledgement of the servers is worth: "synced" if
	// each of them syncs before it acknowledges, "replicated" if not. There is no
	// default: it is not for this program to know, nor to choose.
	NATSDurability string `koanf:"nats_durability"`
	// BackupDir is where backups are made, each a folder of its own; empty is
	// "backups" inside DataDir. On DataDir's file system a backup shares most files
	// with the log; on another one they are copied.
	BackupDir string `koanf:"backup_dir"`
	// HTTPTLSCertFile and HTTPTLSKeyFile have HTTPAddr speak TLS, TLSCertFile and
	// TLSKeyFile the other two. With TLSClientCAFile those let in only clients with a
	// certificate of an authority in that file. All are PEM files, and taken up anew
	// when they change.
	HTTPTLSCertFile string `koanf:"http_tls_cert_file"`
	HTTPTLSKeyFile  string `koanf:"http_tls_key_file"`
	TLSCertFile     string `koanf:"tls_cert_file"`
	TLSKeyFile      string `koanf:"tls_key_file"`
	TLSClientCAFile string `koanf:"tls_client_ca_file"`
	// AccessFile names the consumers that APIAddr and GRPCAddr let in, with their
	// credentials and grants; see package access. It is taken up anew when it changes.
	// Without it they let in everyone on this machine, or with TLSClientCAFile everyone
	// who has a certificate, for everything. With both a client may have either.
	AccessFile string `koanf:"access_file"`
	// CORSOrigins are the origins whose pages may use APIAddr in a browser, such as
	// "https://console.example.com". None is none but its own.
	CORSOrigins []string `koanf:"cors_origins"`
	// InsecureListen allows addresses that are not loopback, although anyone who
	// reaches them could read or post events.
	InsecureListen bool `koanf:"insecure_listen"`
	// LockWait is how long a start waits for another process to release DataDir.
	LockWait time.Duration `koanf:"lock_wait"`
	// ShutdownTimeout bounds an orderly shutdown; what is left is cut off.
	ShutdownTimeout time.Duration `koanf:"shutdown_timeout"`
	// RetentionAge is how long an event is kept, RetentionBytes how large the log
	// may grow; zero is without end. The oldest go first, in the background.
	//
	// Nothing is removed unless one of these says so: what protects the disk is
	// MinFreeBytes, and which events a company may lose is for it to decide.
	RetentionAge   time.Duration `koanf:"retention_age"`
	RetentionBytes uint64        `koanf:"retention_bytes"`
	// RetentionTypes are narrower limits for some types.
	RetentionTypes []RetentionRule `koanf:"retention_types"`
	// MinFreeBytes must stay free on the disk: below it callbacks are answered 503
	// until there is room. Zero is 1 GiB or 5 % of the disk, whichever is less;
	// negative is off.
	MinFreeBytes int64 `koanf:"min_free_bytes"`
	// MaxStreams is how many subscriptions may be open, MaxStreamsPerCaller how many
	// of one machine. MaxStreamAge ends each once it is about as old, so that clients
	// spread over replicas again; zero is never.
	MaxStreams          int           `koanf:"max_streams"`
	MaxStreamsPerCaller int           `koanf:"max_streams_per_caller"`
	MaxStreamAge        time.Duration `koanf:"max_stream_age"`
	// MaxConnections is how many connections HTTPAddr has at once; and how many
	// APIAddr and GRPCAddr have each of callers that were not let in yet. When there
	// is one more, the one open longest over which nothing authentic came is closed.
	MaxConnections int `koanf:"max_connections"`
	// SourceRate is how many authentic callbacks a second each source may post, and
	// SourceBurst how many at once after a pause; more get 429. Zero is without
	// bound, and for SourceBurst ten seconds of SourceRate.
	//
	// There is none unless one is set: after an outage the provider sends all that it
	// held back, and a limit that nobody chose would only make bans come later.
	SourceRate  int `koanf:"source_rate"`
	SourceBurst int `koanf:"source_burst"`
	// QuarantineCallbacks and QuarantineBytes bound the signed callbacks that are
	// kept although no event could be made of them, in a folder inside DataDir. With
	// either at zero none is kept, and those that were are removed.
	QuarantineCallbacks int   `koanf:"quarantine_callbacks"`
	QuarantineBytes     int64 `koanf:"quarantine_bytes"`
	// DuplicateHorizon is how long a callback that carries a provider time is
	// recognised when it is delivered again; UntimedDuplicateHorizon the same for
	// one without.
	DuplicateHorizon        time.Duration `koanf:"duplicate_horizon"`
	UntimedDuplicateHorizon time.Duration `koanf:"untimed_duplicate_horizon"`
	// LogLevel is debug, info, warn or error; LogFormat text or json.
	LogLevel  string `koanf:"log_level"`
	LogFormat string `koanf:"log_format"`
	// Sources are the provider applications that post here. At least one.
	Sources []SourceConfig `koanf:"sources"`
}

// SourceConfig is one provider application.
type SourceConfig struct {
	// Name is the last part of its webhook URL, of a-z, 0-9, _ and -.
	Name string `koanf:"name"`
	// AccessKeys verify its callbacks.
	AccessKeys []AccessKeyConfig `koanf:"access_keys"`
	// AllowUnsigned accepts callbacks that carry no signature at all.
	AllowUnsigned bool `koanf:"allow_unsigned"`
	// TimestampTolerance refuses signatures whose ts is further from now; zero
	// accepts any.
	TimestampTolerance time.Duration `koanf:"timestamp_tolerance"`
	// MaxBodyBytes bounds a callback; zero is 1 MiB.
	MaxBodyBytes int64 `koanf:"max_body_bytes"`
	// Discard names types that are answered 200 and not stored.
	Discard []string `koanf:"discard"`
	// Numbers maps business phone numbers to the WABA they belong to.
	Numbers map[string]string `koanf:"numbers"`
}

// AccessKeyConfig is one access key of a source. Its secret is never in the
// configuration itself: exactly one of SecretEnv and SecretFile says where.
type AccessKeyConfig struct {
	// Key is the access key, which callbacks name in a header.
	Key string `koanf:"key"`
	// SecretEnv names an environment variable; SecretFile a file, whose trailing
	// line break is ignored.
	SecretEnv  string `koanf:"secret_env"`
	SecretFile string `koanf:"secret_file"`
	// Algorithms that are allowed: sha256, md5. None means sha256.
	Algorithms []string `koanf:"algorithms"`
}

// DefaultConfig is what no configuration gives: everything on loopback, data in
// ./data, one source named nxcloud that accepts unsigned callbacks.
func DefaultConfig() Config {
	return Config{
		HTTPAddr:                "127.0.0.1:8080",
		APIAddr:                 "127.0.0.1:8081",
		GRPCAddr:                "127.0.0.1:9090",
		DataDir:                 "./data",
		Log:                     logEmbedded,
		NATSStream:              "wabastream",
		NATSReplicas:            3,
		LockWait:                30 * time.Second,
		ShutdownTimeout:         20 * time.Second,
		MaxStreams:              stream.DefaultMaxStreams,
		MaxStreamsPerCaller:     stream.DefaultMaxStreamsPerCaller,
		MaxConnections:          2000,
		QuarantineCallbacks:     1000,
		QuarantineBytes:         64 << 20,
		DuplicateHorizon:        7 * 24 * time.Hour,
		UntimedDuplicateHorizon: 2 * time.Hour,
		LogLevel:                "info",
		LogFormat:               "text",
		Sources:                 []SourceConfig{{Name: "nxcloud", AllowUnsigned: true}},
	}
}

// validate checks what New would otherwise stumble over later. Sources are
// checked by package webhook.
func (c Config) validate() error {
	var errs []error
	for _, a := range []struct{ name, addr string }{
		{"http_addr", c.HTTPAddr}, {"api_addr", c.APIAddr}, {"grpc_addr", c.GRPCAddr},
	} {
		errs = append(errs, c.validateAddr(a.name, a.addr))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: empty; name a folder"))
	}
	if sameFolder(c.backupDir(), c.quarantineDir()) {
		errs = append(errs, errors.New("backup_dir: is the folder of the quarantine; name another one, or leave it empty for one inside data_dir"))
	}
	if sameFolder(c.backupDir(), c.DataDir) {
		errs = append(errs, errors.New("backup_dir: is data_dir itself; name another folder, or leave it empty for one inside data_dir"))
	}
	errs = append(errs, c.validateLog(), c.validateRetention(), c.validateStreams(), c.validateAbuse(), c.validateTLS(), c.validateOrigins())
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"lock_wait", c.LockWait}, {"shutdown_timeout", c.ShutdownTimeout},
		{"duplicate_horizon", c.DuplicateHorizon}, {"untimed_duplicate_horizon", c.UntimedDuplicateHorizon},
	} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("%s: %v; want more than zero", d.name, d.value))
		}
	}
	return errors.Join(errs...)
}

// minStreamAge keeps streams from spending their life on beginning.
const minStreamAge = time.Second

func (c Config) validateStreams() error {
	var errs []error
	for _, limit := range []struct {
		name  string
		value int
	}{{"max_streams", c.MaxStreams}, {"max_streams_per_caller", c.MaxStreamsPerCaller}} {
		if limit.value <= 0 {
			errs = append(errs, fmt.Errorf("%s: %d; want at least 1", limit.name, limit.value))
		}
	}
	if c.MaxStreamAge != 0 && c.MaxStreamAge < minStreamAge {
		errs = append(errs, fmt.Errorf("max_stream_age: %v; want at least %v, or 0 for no end", c.MaxStreamAge, minStreamAge))
	}
	return errors.Join(errs...)
}

// validateAbuse checks what bounds strangers and sources. Those of a source are
// checked by package webhook.
func (c Config) validateAbuse() error {
	var errs []error
	if c.MaxConnections <= 0 {
		errs = append(errs, fmt.Errorf("max_connections: %d; want at least 1", c.MaxConnections))
	}
	if c.QuarantineCallbacks < 0 {
		errs = append(errs, fmt.Errorf("quarantine_callbacks: %d; want 0 (keep none) or more", c.QuarantineCallbacks))
	}
	if c.QuarantineBytes < 0 {
		errs = append(errs, fmt.Errorf("quarantine_bytes: %d; want 0 (keep none) or more", c.QuarantineBytes))
	}
	return errors.Join(errs...)
}

// quarantineDir is inside the log's folder, whose lock is for both.
func (c Config) quarantineDir() string { return filepath.Join(c.DataDir, "quarantine") }

// backupDir is inside the log's folder unless another is set: that is sure to be
// on its file system, and on the volume that holds it. The store passes over
// folders in its own.
func (c Config) backupDir() string {
	if c.BackupDir != "" {
		return c.BackupDir
	}
	return filepath.Join(c.DataDir, "backups")
}

func sameFolder(a, b string) bool {
	if infoA, err := os.Stat(a); err == nil {
		if infoB, err := os.Stat(b); err == nil {
			return os.SameFile(infoA, infoB)
		}
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

func (c Config) validateAddr(name, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", name, addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s: port %q is not a number from 0 to 65535", name, port)
	}
	why := c.exposure(name)
	if why == "" || c.InsecureListen || guard.IsLoopback(host) {
		return nil
	}
	return fmt.Errorf("%s: %q is not a loopback address, and %s; or bind it to 127.0.0.1 behind something that protects it, or accept the risk with insecure_listen (--insecure-listen)", name, addr, why)
}

// webhookSources resolves the sources' secrets.
func (c Config) webhookSources() ([]webhook.Source, error) {
	sources := make([]webhook.Source, len(c.Sources))
	for i, s := range c.Sources {
		keys, err := s.accessKeys()
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", s.Name, err)
		}
		sources[i] = webhook.Source{
			Name:                    s.Name,
			AccessKeys:              keys,
			AllowUnsigned:           s.AllowUnsigned,
			TimestampTolerance:      s.TimestampTolerance,
			MaxBodyBytes:            s.MaxBodyBytes,
			Discard:                 s.Discard,
			Numbers:                 s.Numbers,
			Rate:                    c.SourceRate,
			Burst:                   c.SourceBurst,
			DuplicateHorizon:        c.DuplicateHorizon,
			UntimedDuplicateHorizon: c.UntimedDuplicateHorizon,
		}
	}
	return sources, nil
}

func (s SourceConfig) accessKeys() ([]webhook.AccessKey, error) {
	keys := make([]webhook.AccessKey, len(s.AccessKeys))
	for i, k := range s.AccessKeys {
		secret, err := k.secret()
		if err != nil {
			return nil, fmt.Errorf("access_keys[%d]: %w", i, err)
		}
		algorithms := make([]webhook.Algorithm, len(k.Algorithms))
		for j, a := range k.Algorithms {
			algorithms[j] = webhook.Algorithm(strings.ToLower(a))
		}
		keys[i] = webhook.AccessKey{Key: k.Key, Secret: secret, Algorithms: algorithms}
	}
	return keys, nil
}

// secret never repeats what it was given in an error: people paste the secret
// itself where its name belongs.
func (k AccessKeyConfig) secret() (string, error) {
	switch {
	case (k.SecretEnv == "") == (k.SecretFile == ""):
		return "", errors.New("set exactly one of secret_env and secret_file")
	case k.SecretEnv != "":
		secret := os.Getenv(k.SecretEnv)
		if secret == "" {
			return "", errors.New("secret_env: the environment variable it names is not set or empty")
		}
		return secret, nil
	default:
		b, err := os.ReadFile(k.SecretFile)
		if pathErr, ok := errors.AsType[*os.PathError](err); ok {
			err = pathErr.Err
		}
		if err != nil {
			return "", fmt.Errorf("secret_file: read the file it names: %w", err)
		}
		secret := strings.TrimRight(string(b), "\r\n")
		if secret == "" {
			return "", errors.New("secret_file: the file it names is empty")
		}
		return secret, nil
	}
}
