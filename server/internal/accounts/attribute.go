package accounts

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Attribution tells which account a phone number belongs to, by what events that name
// both have told. It reads the state, so that it knows after a restart what it knew
// before. A pair is known a few milliseconds after its event is durable.
//
// It is safe for concurrent use.
type Attribution struct {
	state  eventlog.State
	counts attributionCounts
}

type attributionCounts struct{ learned, unknown, failed prometheus.Counter }

// NewAttribution makes an attribution by a state of [Projection]. The registerer may be
// nil.
func NewAttribution(state eventlog.State, registerer prometheus.Registerer) (*Attribution, error) {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wabastream_attributions_total",
		Help: "Events that name no account, and whose number is not configured, by whether it was learned before whose the number is.",
	}, []string{"outcome"})
	if registerer != nil {
		if err := registerer.Register(counted); err != nil {
			return nil, err
		}
	}
	return &Attribution{state, attributionCounts{
		learned: counted.WithLabelValues("learned"), unknown: counted.WithLabelValues("unknown"), failed: counted.WithLabelValues("failed"),
	}}, nil
}

// WABA returns the account of a business phone number, spelled as in headers, or else
// that of Meta's id of the number, as the events of a source have told; "" when it is
// not known. Empty texts belong to nobody. It waits for nothing but the disk.
func (a *Attribution) WABA(source, businessPhone, phoneNumberID string) string {
	for _, key := range [][]byte{keyOf(pairKey, source, businessPhone), keyOf(idPairKey, source, phoneNumberID)} {
		if key == nil {
			continue
		}
		value, err := a.state.Get(key)
		if err != nil { // the log has failed, and tells whoever appends
			a.counts.failed.Inc()
			return ""
		}
		if waba := decodePair(value).waba; waba != "" {
			a.counts.learned.Inc()
			return waba
		}
	}
	a.counts.unknown.Inc()
	return ""
}

// keyOf is nil for a text that no pair has.
func keyOf(key func(source, text string) []byte, source, text string) []byte {
	if text == "" || len(text) > eventlog.MaxTextBytes {
		return nil
	}
	return key(source, text)
}
