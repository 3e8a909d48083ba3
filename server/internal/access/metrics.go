package access

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// metrics tell how many get in, and whether the file is what it should be.
type metrics struct {
	authentications *prometheus.CounterVec
	loadTime        prometheus.Gauge
	refusedFiles    prometheus.Counter
	keyFetches      *prometheus.CounterVec
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	m.authentications = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wabastream_authentications_total",
		Help: "Calls by the credential that they carried (none, token, jwt, certificate) and what came of it (accepted, missing, invalid, expired, unavailable).",
	}, []string{"credential", "outcome"})
	m.loadTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "wabastream_access_file_load_timestamp_seconds",
		Help: "When the access file in use was loaded, as Unix time.",
	})
	m.refusedFiles = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "wabastream_access_files_refused_total",
		Help: "Contents of the access file that could not be used, so that those before stayed in use.",
	})
	m.keyFetches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wabastream_jwt_key_fetches_total",
		Help: "Requests to jwks_url, by what came of them (fetched, failed).",
	}, []string{"outcome"})
	if registerer == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.authentications, m.loadTime, m.refusedFiles, m.keyFetches} {
		if err := registerer.Register(c); err != nil {
			return fmt.Errorf("register the metrics of access: %w", err)
		}
	}
	return nil
}

func (m *metrics) count(a attempt) {
	m.authentications.WithLabelValues(string(a.kind), outcomeOf(a.err)).Inc()
}

func (m *metrics) loaded(now time.Time) { m.loadTime.Set(float64(now.Unix())) }
func (m *metrics) refused()             { m.refusedFiles.Inc() }

func (m *metrics) fetched(err error) {
	outcome := "fetched"
	if err != nil {
		outcome = "failed"
	}
	m.keyFetches.WithLabelValues(outcome).Inc()
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, ErrMissing):
		return "missing"
	case errors.Is(err, ErrExpired):
		return "expired"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	default:
		return "invalid"
	}
}

// refusalsEvery is how often a kind of refusal is logged: strangers cause them.
const refusalsEvery = time.Minute

// refusals logs who is not let in, now and then. No
// token is in it.
type refusals struct {
	mu    sync.Mutex // guards the map
	kinds map[refusalKind]*rate.Sometimes
}

type refusalKind struct {
	credential credentialKind
	outcome    string
}

func (r *refusals) log(logger *slog.Logger, a attempt) {
	kind := refusalKind{a.kind, outcomeOf(a.err)}
	r.mu.Lock()
	if r.kinds == nil {
		r.kinds = make(map[refusalKind]*rate.Sometimes)
	}
	sometimes, ok := r.kinds[kind]
	if !ok {
		sometimes = &rate.Sometimes{Interval: refusalsEvery}
		r.kinds[kind] = sometimes
	}
	r.mu.Unlock()
	sometimes.Do(func() {
		logger.Warn("a caller was not let in; of more like it within a minute only wabastream_authentications_total tells",
			"credential", string(a.kind), "who", a.who, "reason", a.err)
	})
}
