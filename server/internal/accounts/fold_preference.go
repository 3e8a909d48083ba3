package accounts

import (
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// keepsPreference reports whether a person's choice is kept. Other categories than
// marketing messages are not: what they mean is not known.
func keepsPreference(h *eventlog.Header, u *wabastreamv1.UserPreference) bool {
	return h.BusinessPhone != "" && u.GetWaId() != "" && len(u.GetWaId()) <= eventlog.MaxTextBytes &&
		u.GetCategory() == wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES
}

// applyPreference sets a person's choice.
func (b *batch) applyPreference(e *event, u *wabastreamv1.UserPreference) error {
	phone, person := e.entry.BusinessPhone, u.GetWaId()
	if !keepsPreference(&e.entry.Header, u) {
		return nil
	}
	r, _, err := b.preferences.row(preferenceKey(phone, person))
	if err != nil {
		return err
	}
	r.dirty = true
	p := r.message
	if e.late(p.GetOrigin()) {
		e.stale = true
		p.Origin.StaleCount++
		return nil
	}
	if isOptOut(p) {
		b.write(optOutKey(phone, p.GetOrigin().GetSequence()), nil)
	}
	origin := e.provenance(e.entry.WABAID)
	origin.StaleCount = p.GetOrigin().GetStaleCount()
	p.BusinessPhone, p.WaId, p.WabaId = phone, person, e.entry.WABAID
	p.Value, p.ValueText, p.Origin = u.GetValue(), u.GetValueText(), origin
	if name := u.GetProfileName(); name != "" {
		p.ProfileName = name
	}
	p.Source = e.entry.Source
	if isOptOut(p) {
		b.write(optOutKey(phone, origin.GetSequence()), []byte(person))
	}
	return nil
}

func isOptOut(p *wabastreamv1.MarketingPreference) bool {
	return p.GetValue() == wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP
}
