package accounts

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// account returns an account's row, and makes it of the first event that names it.
func (b *batch) account(e *event, waba string) (*row[*wabastreamv1.Account], error) {
	key := accountKey(waba)
	r, found, err := b.accounts.row(key)
	if err != nil {
		return nil, err
	}
	if found {
		if _, known := b.changedAt[string(key)]; !known {
			b.changedAt[string(key)] = r.message.GetLastChange().GetSequence()
		}
		return r, nil
	}
	b.changedAt[string(key)] = 0
	r.message.WabaId = waba
	r.message.FirstEvent = e.provenance(waba)
	set(e, b.ofAccount(e, r), change[*wabastreamv1.AccountExistence]{
		place: &r.message.Existence, wrap: ofExistence,
		with:      existence(wabastreamv1.AccountState_ACCOUNT_STATE_SEEN),
		direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_SEEN,
	})
	return r, nil
}

// ofAccount makes the account whose values are set.
func (b *batch) ofAccount(e *event, r *row[*wabastreamv1.Account]) subject {
	return subject{waba: r.message.GetWabaId(), touched: func(changed bool) {
		r.dirty = true
		if changed {
			r.changed = true
			r.message.LastChange = e.provenance(r.message.GetWabaId())
		}
	}}
}

// apply sets the values that an event's payload has.
func (b *batch) apply(e *event) error {
	switch payload := e.payload.GetPayload().(type) {
	case *wabastreamv1.Event_AccountUpdate:
		return b.applyAccountUpdate(e, payload.AccountUpdate)
	case *wabastreamv1.Event_AccountReviewUpdate:
		return b.applyReview(e, payload.AccountReviewUpdate)
	case *wabastreamv1.Event_PhoneNumberNameUpdate:
		return b.applyName(e, payload.PhoneNumberNameUpdate)
	case *wabastreamv1.Event_PhoneNumberQualityUpdate:
		return b.applyQuality(e, payload.PhoneNumberQualityUpdate)
	case *wabastreamv1.Event_UserPreference:
		return b.applyPreference(e, payload.UserPreference)
	}
	return nil
}

func (b *batch) applyAccountUpdate(e *event, u *wabastreamv1.AccountUpdate) error {
	switch u.GetEvent() {
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_ADDED:
		return b.applyPresence(e, u.GetPhoneNumber(), wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_ADDED)
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_REMOVED:
		return b.applyPresence(e, u.GetPhoneNumber(), wabastreamv1.PhoneNumberState_PHONE_NUMBER_STATE_REMOVED)
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_UNSPECIFIED:
		return nil
	}
	if e.entry.WABAID == "" {
		return nil
	}
	r, err := b.account(e, e.entry.WABAID)
	if err != nil {
		return err
	}
	a, of := r.message, b.ofAccount(e, r)
	switch u.GetEvent() {
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_DISABLED_UPDATE:
		setBan(e, of, a, u.GetBanInfo())
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_VIOLATION:
		setViolation(e, of, a, u.GetViolationInfo())
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_RESTRICTION:
		setRestrictions(e, of, a, u.GetRestrictionInfo())
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_DELETED:
		setDeleted(e, of, a)
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PARTNER_REMOVED:
		setPartner(e, of, a, u)
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_MM_LITE_TERMS_SIGNED:
		setTerms(e, of, a, u.GetWabaInfo().GetOwnerBusinessId())
	}
	return nil
}

func setBan(e *event, of subject, a *wabastreamv1.Account, info *wabastreamv1.BanInfo) {
	if info == nil {
		return // it says nothing
	}
	set(e, of, change[*wabastreamv1.AccountBan]{
		place: &a.Ban, wrap: ofBan, direction: banDirection(info.GetState()),
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountBan {
			return &wabastreamv1.AccountBan{Info: info, Origin: origin}
		},
	})
}

func setViolation(e *event, of subject, a *wabastreamv1.Account, info *wabastreamv1.ViolationInfo) {
	set(e, of, change[*wabastreamv1.AccountViolation]{
		place: &a.Violation, wrap: ofViolation, news: true,
		direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_VIOLATED,
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountViolation {
			return &wabastreamv1.AccountViolation{Info: info, Origin: origin}
		},
	})
}

// setRestrictions sets each type that is reported. What is not reported stays: a report
// does not say that it is all there is.
func setRestrictions(e *event, of subject, a *wabastreamv1.Account, infos []*wabastreamv1.RestrictionInfo) {
	if len(infos) == 0 {
		infos = []*wabastreamv1.RestrictionInfo{{}}
	}
	for _, info := range infos[:min(len(infos), maxRestrictions)] {
		place := restrictionPlace(a, info.GetRestrictionTypeText())
		var held *wabastreamv1.AccountRestriction
		if place < len(a.GetRestrictions()) {
			held = a.GetRestrictions()[place]
		}
		set(e, of, change[*wabastreamv1.AccountRestriction]{
			place: &held, wrap: ofRestriction,
			direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_RESTRICTED,
			with: func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountRestriction {
				return &wabastreamv1.AccountRestriction{Info: info, Origin: origin}
			},
		})
		if place == len(a.GetRestrictions()) {
			a.Restrictions = append(a.Restrictions, nil)
		}
		a.Restrictions[place] = held
	}
	boundRestrictions(a)
}

func restrictionPlace(a *wabastreamv1.Account, typ string) int {
	i := slices.IndexFunc(a.GetRestrictions(), func(r *wabastreamv1.AccountRestriction) bool {
		return r.GetInfo().GetRestrictionTypeText() == typ
	})
	if i < 0 {
		return len(a.GetRestrictions())
	}
	return i
}

// boundRestrictions forgets those that were reported first.
func boundRestrictions(a *wabastreamv1.Account) {
	slices.SortStableFunc(a.GetRestrictions(), func(x, y *wabastreamv1.AccountRestriction) int {
		return cmp.Compare(x.GetOrigin().GetSequence(), y.GetOrigin().GetSequence())
	})
	size := 0
	for i := len(a.GetRestrictions()) - 1; i >= 0; i-- {
		size += proto.Size(a.GetRestrictions()[i])
		if kept := len(a.GetRestrictions()) - i; kept > maxRestrictions || kept > 1 && size > maxRestrictionBytes {
			a.Restrictions = a.GetRestrictions()[i+1:]
			return
		}
	}
}

// setDeleted is final: that an account was seen later does not make it late.
func setDeleted(e *event, of subject, a *wabastreamv1.Account) {
	set(e, of, change[*wabastreamv1.AccountExistence]{
		place: &a.Existence, wrap: ofExistence,
		with:       existence(wabastreamv1.AccountState_ACCOUNT_STATE_DELETED),
		direction:  wabastreamv1.ChangeDirection_CHANGE_DIRECTION_DELETED,
		beyondTime: a.GetExistence().GetState() != wabastreamv1.AccountState_ACCOUNT_STATE_DELETED,
	})
}

func existence(state wabastreamv1.AccountState) func(*wabastreamv1.Provenance) *wabastreamv1.AccountExistence {
	return func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountExistence {
		return &wabastreamv1.AccountExistence{State: state, Origin: origin}
	}
}

func setPartner(e *event, of subject, a *wabastreamv1.Account, u *wabastreamv1.AccountUpdate) {
	set(e, of, change[*wabastreamv1.AccountPartner]{
		place: &a.Partner, wrap: ofPartner,
		direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_PARTNER_REMOVED,
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountPartner {
			return &wabastreamv1.AccountPartner{
				State:             wabastreamv1.PartnerState_PARTNER_STATE_REMOVED,
				DisconnectionInfo: u.GetDisconnectionInfo(),
				OwnerBusinessId:   u.GetWabaInfo().GetOwnerBusinessId(),
				Origin:            origin,
			}
		},
	})
}

func setTerms(e *event, of subject, a *wabastreamv1.Account, owner string) {
	set(e, of, change[*wabastreamv1.AccountTerms]{
		place: &a.MmLiteTerms, wrap: ofTerms,
		direction: wabastreamv1.ChangeDirection_CHANGE_DIRECTION_SIGNED,
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountTerms {
			return &wabastreamv1.AccountTerms{Signed: true, OwnerBusinessId: owner, Origin: origin}
		},
	})
}

func (b *batch) applyReview(e *event, u *wabastreamv1.AccountReviewUpdate) error {
	if e.entry.WABAID == "" {
		return nil
	}
	r, err := b.account(e, e.entry.WABAID)
	if err != nil {
		return err
	}
	set(e, b.ofAccount(e, r), change[*wabastreamv1.AccountReview]{
		place: &r.message.Review, wrap: ofReview, direction: reviewDirection(u.GetDecision()),
		with: func(origin *wabastreamv1.Provenance) *wabastreamv1.AccountReview {
			return &wabastreamv1.AccountReview{Decision: u.GetDecision(), DecisionText: u.GetDecisionText(), Origin: origin}
		},
	})
	return nil
}
