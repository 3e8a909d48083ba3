package accounts

import (
	"context"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Bounds of a page of opt-outs.
const (
	defaultOptOuts = 1000
	maxOptOuts     = 10_000
)

const (
	fieldPhone = "business_phone"
	notANumber = "a phone number is needed, of at most 256 bytes"
)

// aboutPersons opens the state for a call about persons and a number, if the caller may
// ask about persons and the number.
func (s *Service) aboutPersons(ctx context.Context, sent, atLeast string) (a *answer, phone string, err error) {
	if phone = eventlog.NormalizePhone(sent); phone == "" || len(phone) > eventlog.MaxTextBytes {
		return nil, "", apierror.Invalid(reasonRequestInvalid, fieldPhone, notANumber)
	}
	if a, err = s.answerTo(ctx, atLeast); err != nil {
		return nil, "", err
	}
	if err = a.marketing(); err == nil {
		var owner string
		if owner, err = a.ownerOf(phone); err != nil {
			err = s.failed(err)
		} else if !a.account(owner) {
			err = notAllowed(reasonWABANotAllowed, fieldPhone, "this caller is not granted the account that the number belongs to, or no account is known to have it")
		}
	}
	if err != nil {
		a.close()
		return nil, "", err
	}
	return a, phone, nil
}

// GetMarketingPreference implements AccountService.
func (s *Service) GetMarketingPreference(ctx context.Context, req *wabastreamv1.GetMarketingPreferenceRequest) (*wabastreamv1.GetMarketingPreferenceResponse, error) {
	person := req.GetWaId()
	if person == "" || len(person) > eventlog.MaxTextBytes {
		return nil, apierror.Invalid(reasonRequestInvalid, "wa_id", "a person's WhatsApp id is needed, of at most 256 bytes")
	}
	a, phone, err := s.aboutPersons(ctx, req.GetBusinessPhone(), req.GetAtLeastCursor())
	if err != nil {
		return nil, err
	}
	defer a.close()
	if a.grant.PersonalData != access.PersonalDataFull {
		return nil, notAllowed(reasonPersonalDataNotAllowed, "wa_id", "persons are not granted to this caller as they are")
	}
	preference := &wabastreamv1.MarketingPreference{BusinessPhone: phone, WaId: person}
	found, err := a.row(preferenceKey(phone, person), preference)
	if err != nil {
		return nil, s.failed(err)
	}
	if found {
		s.showPreference(a.scope, preference)
	}
	return &wabastreamv1.GetMarketingPreferenceResponse{Preference: preference, Cursor: a.cursor()}, nil
}

// ListMarketingOptOuts implements AccountService.
func (s *Service) ListMarketingOptOuts(ctx context.Context, req *wabastreamv1.ListMarketingOptOutsRequest) (*wabastreamv1.ListMarketingOptOutsResponse, error) {
	size, err := pageSizeOf(req.GetPageSize(), defaultOptOuts, maxOptOuts)
	if err != nil {
		return nil, err
	}
	selection := &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: eventlog.NormalizePhone(req.GetBusinessPhone())}
	after, err := parsePageToken(selection, optOutKind, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	a, phone, err := s.aboutPersons(ctx, req.GetBusinessPhone(), req.GetAtLeastCursor())
	if err != nil {
		return nil, err
	}
	defer a.close()
	response := &wabastreamv1.ListMarketingOptOutsResponse{Cursor: a.cursor()}
	var last []byte
	failed := a.scanAfter([]keyRange{under(key(optOutKind, phone))}, after, func(key, person []byte) bool {
		if len(response.GetOptOuts()) == size {
			response.NextPageToken = pageToken(selection, last)
			return false
		}
		last = append(last[:0], key...)
		preference := new(wabastreamv1.MarketingPreference)
		if _, err = a.row(preferenceKey(phone, string(person)), preference); err != nil {
			return false
		}
		s.showPreference(a.scope, preference)
		response.OptOuts = append(response.OptOuts, preference)
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, s.failed(err)
	}
	return response, nil
}

// showPreference shows of a person what the caller may see.
func (s *Service) showPreference(c *scope, p *wabastreamv1.MarketingPreference) {
	origin := p.GetOrigin()
	origin.Cursor = c.cursors.Format(positionOf(c.log, origin))
	if !c.account(p.GetWabaId()) { // its event is another account's, or nobody's
		p.WabaId, origin.EventId = "", ""
	}
	if c.grant.PersonalData == access.PersonalDataFull {
		return
	}
	p.Redacted, p.ProfileName = true, ""
	if c.grant.PersonalData != access.PersonalDataHashed {
		p.WaId = ""
		return
	}
	p.WaId = s.config.Pseudonym(p.GetWaId())
}
