package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// TestEveryFieldIsDecidedAbout: a field or message that the contract gains is hidden,
// and this test fails until somebody has decided what becomes of it.
func TestEveryFieldIsDecidedAbout(t *testing.T) {
	t.Parallel()
	decided(t, new(wabastreamv1.Event).ProtoReflect().Descriptor(), eventRules())
}

func decided(t *testing.T, message protoreflect.MessageDescriptor, of rules) {
	t.Helper()
	require.Len(t, of, message.Fields().Len(), "%s has rules of fields that are not there", message.FullName())
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		rule, name := of[field.Number()], field.FullName()
		require.NotEqual(t, undecided, rule.treatment, name)
		require.False(t, field.IsMap(), name)
		text, kind := field.Kind() == protoreflect.StringKind, field.Message()
		ours := kind != nil && kind.ParentFile().Package() == message.ParentFile().Package()
		switch rule.treatment {
		case kept:
			require.False(t, ours, "%s is kept whole", name)
			require.NotEqual(t, protoreflect.BytesKind, field.Kind(), name)
		case parts:
			require.True(t, ours, name)
			decided(t, kind, rule.within)
		case known:
			require.True(t, text, name)
			require.Equal(t, protoreflect.EnumKind, message.Fields().ByNumber(rule.beside).Kind(), name)
		case person, eventType:
			require.True(t, text, name)
		case hidden, undecided:
		}
	}
}

// TestWhatIsShown fills every field of every payload, and names every text that those
// still see who do not see personal data.
func TestWhatIsShown(t *testing.T) {
	t.Parallel()
	r := newRedactor(func(id string) string { return "pseudonym of " + id })
	payloads := new(wabastreamv1.Event).ProtoReflect().Descriptor().Oneofs().ByName("payload").Fields()
	always := []string{"business_phone", "cursor", "id", "phone_number_id", "source", "type", "waba_id"}
	shown := map[protoreflect.Name][]string{
		"account_update": {
			"ban_info.date_text", "ban_info.state_text", "disconnection_info.initiated_by_text", "disconnection_info.reason_text",
			"event_text", "phone_number", "restriction_info.expire_time_text", "restriction_info.remediation",
			"restriction_info.restriction_type_text", "violation_info.violation_type_text", "waba_info.owner_business_id", "waba_info.waba_id",
		},
		"account_review_update": {"decision_text"},
		"phone_number_name_update": {
			"decision_text", "display_phone_number", "rejection_reason_text", "requested_verified_name",
		},
		"phone_number_quality_update": {
			"current_limit_text", "display_phone_number", "event_text", "max_daily_conversations_per_business_text", "old_limit_text",
		},
		"user_preference": {"category_text", "display_phone_number", "messaging_product", "value_text"},
		"unrecognized":    nil,
	}
	require.Len(t, shown, payloads.Len())
	for i := range payloads.Len() {
		arm := payloads.Get(i)
		event := new(wabastreamv1.Event)
		fillMessage(event.ProtoReflect(), "", arm)
		event.Redacted = false
		wire, err := proto.Marshal(event)
		require.NoError(t, err)
		want := slices.Clone(always)
		for _, text := range shown[arm.Name()] {
			want = append(want, string(arm.Name())+"."+text)
		}
		for _, view := range []viewKind{viewHashed, viewNone} {
			got := new(wabastreamv1.Event)
			require.NoError(t, proto.Unmarshal(r.appendEvent(nil, wire, view), got))
			require.True(t, got.GetRedacted())
			require.True(t, got.ProtoReflect().Has(arm), "the payload stays what it is")
			require.NotNil(t, got.GetReceiveTime())
			texts := textsOf(got.ProtoReflect(), "")
			if view == viewHashed && arm.Name() == "user_preference" {
				require.Equal(t, "pseudonym of user_preference.wa_id", got.GetUserPreference().GetWaId())
				got.GetUserPreference().WaId = ""
				texts = textsOf(got.ProtoReflect(), "")
			}
			slices.Sort(texts)
			slices.Sort(want)
			require.Equal(t, want, texts)
		}
	}
}

// fillMessage sets every field, each text to its path; of a oneof's the one given.
func fillMessage(m protoreflect.Message, path string, arm protoreflect.FieldDescriptor) {
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		if field.ContainingOneof() != nil && field != arm {
			continue
		}
		at := path + string(field.Name())
		switch {
		case field.IsList():
			fillMessage(m.Mutable(field).List().AppendMutable().Message(), at+".", nil)
		case field.Message() != nil:
			fillMessage(m.Mutable(field).Message(), at+".", nil)
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(at))
		case field.Kind() == protoreflect.EnumKind:
			m.Set(field, protoreflect.ValueOfEnum(1))
		case field.Kind() == protoreflect.BoolKind:
			m.Set(field, protoreflect.ValueOfBool(true))
		case field.Kind() == protoreflect.Uint64Kind:
			m.Set(field, protoreflect.ValueOfUint64(7))
		case field.Kind() == protoreflect.Int64Kind:
			m.Set(field, protoreflect.ValueOfInt64(7))
		case field.Kind() == protoreflect.Int32Kind:
			m.Set(field, protoreflect.ValueOfInt32(7))
		default:
			panic(fmt.Sprintf("%s: no test value for a %s", field.FullName(), field.Kind()))
		}
	}
}

// textsOf are the texts of a message, which must be what fillMessage set them to.
func textsOf(m protoreflect.Message, path string) (texts []string) {
	if len(m.GetUnknown()) > 0 {
		texts = append(texts, path+"unknown fields")
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsList():
			texts = append(texts, textsOf(value.List().Get(0).Message(), path+string(field.Name())+".")...)
		case field.Message() != nil:
			texts = append(texts, textsOf(value.Message(), path+string(field.Name())+".")...)
		case field.Kind() == protoreflect.StringKind:
			texts = append(texts, value.String())
		}
		return true
	})
	return texts
}

func TestViewsOfAPreference(t *testing.T) {
	t.Parallel()
	entry, plain := fullEntry(t)
	plain.RawJson = ""
	preference := func(waID, category string) *wabastreamv1.Event {
		e := proto.CloneOf(plain)
		e.Redacted, e.OccurTimeText = true, ""
		e.Payload = &wabastreamv1.Event_UserPreference{UserPreference: &wabastreamv1.UserPreference{
			WaId: waID, Category: wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES, CategoryText: category,
			Value: wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP, ValueText: "stop", MessagingProduct: "whatsapp",
		}}
		return e
	}
	payload := preference("491511", "marketing_messages")
	payload.GetUserPreference().ProfileName, payload.GetUserPreference().Detail = "Jo", "Jo wants no more"
	stored, err := proto.Marshal(&wabastreamv1.Event{Provider: plain.GetProvider(), PhoneNumberId: "77", OccurTimeText: "soon", Payload: payload.GetPayload()})
	require.NoError(t, err)
	entry.Payload, entry.Raw = stored, nil
	for view, want := range map[viewKind]*wabastreamv1.Event{
		viewHashed: preference("p(491511)", "marketing_messages"),
		viewNone:   preference("", "marketing_messages"),
	} {
		s := &Service{redactor: newRedactor(func(id string) string { return "p(" + id + ")" })}
		got, err := decodeEvent(s.eventIn(view, &entry, cursorOf(entry.Position)), 1)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
	}
	s := &Service{redactor: newRedactor(nil)}
	got, err := decodeEvent(s.eventIn(viewHashed, &entry, ""), 1)
	require.NoError(t, err)
	require.Empty(t, got.GetUserPreference().GetWaId(), "without a key nothing stands for a person")
}

// TestWordsThatNobodyKnows: what the contract does not know of a preference is hidden,
// also in its type, and so is a person's number in any type.
func TestWordsThatNobodyKnows(t *testing.T) {
	t.Parallel()
	r := newRedactor(nil)
	knownCategory, knownValue := wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES, wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP
	for _, c := range []struct {
		path, want string
		preference *wabastreamv1.UserPreference
	}{
		{"user_preferences.marketing_messages.stop", "user_preferences.marketing_messages.stop", &wabastreamv1.UserPreference{
			Category: knownCategory, CategoryText: "marketing_messages", Value: knownValue, ValueText: "stop",
		}},
		{"user_preferences.jo.marketing_messages.stop", "user_preferences", &wabastreamv1.UserPreference{
			Category: knownCategory, CategoryText: "marketing_messages", Value: knownValue, ValueText: "stop",
		}},
		{"user_preferences.marketing_messages.jo", "user_preferences", &wabastreamv1.UserPreference{
			Category: knownCategory, CategoryText: "marketing_messages", ValueText: "jo",
		}},
		{"user_preferences.jo.stop", "user_preferences", &wabastreamv1.UserPreference{CategoryText: "jo", Value: knownValue, ValueText: "stop"}},
		{"user_preferences.marketing_messages.jo", "user_preferences", nil},
		{"user_preferences", "user_preferences", nil},
		{"user_preferences_2.jo", "user_preferences_2.jo", nil},
		{"template.123456.x", "template.123456.x", nil},
		{"template.user_1234567.x", "template", nil},
		{"template.us_12345678", "template", nil},
		{"a1234567.x", "unrecognized", nil},
		{"template_2024_10_22.approved", "template_2024_10_22.approved", nil},
	} {
		event := &wabastreamv1.Event{Type: c.path, Payload: &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Json: "{}"}}}
		if c.preference != nil {
			event.Payload = &wabastreamv1.Event_UserPreference{UserPreference: c.preference}
		}
		wire, err := proto.Marshal(event)
		require.NoError(t, err)
		got := new(wabastreamv1.Event)
		require.NoError(t, proto.Unmarshal(r.appendEvent(nil, wire, viewNone), got))
		require.Equal(t, c.want, got.GetType(), c.path)
		if c.preference.GetCategory() == 0 {
			require.Empty(t, got.GetUserPreference().GetCategoryText())
		}
		if c.preference.GetValue() == 0 {
			require.Empty(t, got.GetUserPreference().GetValueText())
		}
	}
}

// TestUnknownIsHidden: fields that this build does not know, and what is damaged, do
// not get through.
func TestUnknownIsHidden(t *testing.T) {
	t.Parallel()
	r := newRedactor(nil)
	secret := []byte("491511")
	unknown := protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), secret)
	unknownNumber := protowire.AppendVarint(protowire.AppendTag(nil, 98, protowire.VarintType), 491511)
	inside := protowire.AppendBytes(protowire.AppendTag(nil, fieldAccountReviewUpdate, protowire.BytesType), unknown)
	id := appendText(nil, fieldID, "id")
	for name, wire := range map[string][]byte{
		"field":           slices.Concat(id, unknown),
		"number":          slices.Concat(id, unknownNumber),
		"inside":          slices.Concat(id, inside),
		"cut":             slices.Concat(id, unknown[:len(unknown)-2]),
		"cut known":       slices.Concat(id, appendText(nil, fieldSource, string(secret))[:6]),
		"other wire type": slices.Concat(id, protowire.AppendVarint(protowire.AppendTag(nil, fieldUserPreference, protowire.VarintType), 491511)),
	} {
		out := r.appendEvent(nil, wire, viewHashed)
		require.NotContains(t, string(out), string(secret[:4]), name)
		got := new(wabastreamv1.Event)
		require.NoError(t, proto.Unmarshal(out, got), name)
		require.Empty(t, got.ProtoReflect().GetUnknown(), name)
		require.Equal(t, "id", got.GetId(), name)
		require.True(t, got.GetRedacted(), name)
	}
}

// TestViewsAreCounted: a block takes more memory for each view that is made of it, and
// makes others go for that.
func TestViewsAreCounted(t *testing.T) {
	t.Parallel()
	redact := newRedactor(strings.ToUpper)
	r := &recent{limit: 1 << 20}
	b, other := blockOf(0, "1", "2"), blockOf(2, "1")
	r.add(other)
	r.add(b)
	before := r.bytes
	_, grown := b.view(viewPlain, redact)
	require.Zero(t, grown, "counted already")
	total := 0
	for _, view := range []viewKind{viewHashed, viewNone} {
		v, grown := b.view(view, redact)
		require.GreaterOrEqual(t, grown, len(v.body))
		again, none := b.view(view, redact)
		require.Same(t, v, again)
		require.Zero(t, none)
		r.grow(b, grown)
		total += grown
	}
	require.Equal(t, before+total, r.bytes)
	r.grow(blockOf(0, "1", "2"), 1000)
	require.Equal(t, before+total, r.bytes, "another block at the same place")
	r.limit = r.bytes
	r.grow(b, 1)
	require.Equal(t, []*block{b}, r.blocks)
	require.Equal(t, b.bytes, r.bytes)
	r.forget(b)
	require.Zero(t, r.bytes)
	r.grow(b, 1)
	require.Zero(t, r.bytes)
}
