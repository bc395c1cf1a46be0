use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{rand::SystemRandom, signature::KeyPair};
use serde_json::{Value, json};
use tenantry_federation::{
    Refusal,
    jwt::{Claims, KeySet, Token},
};

use crate::signer::{NOW, Provider};

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(by: &Provider, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let made = by.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(made))
}

fn jwk(of: &Provider, id: &str) -> Value {
    let point = of.key.public_key().as_ref();
    json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]) })
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({ "iss": "https://idp.example.com", "sub": "alice", "aud": "app", "exp": NOW.secs() + 60, "iat": NOW.secs() })
}

fn verify(text: &str, keys: &KeySet) -> Result<Claims, Refusal> {
    Token::parse(text)?.verify(keys, NOW)
}

#[test]
fn a_good_token_is_read() {
    let issuer = Provider::new();
    let keys = set(&[json!({ "kty": "oct", "k": "AAAA", "kid": "k1" }), jwk(&issuer, "k0"), jwk(&issuer, "k1")]);
    assert!(keys.knows("k1") && !keys.knows("k2"));
    for header in [json!({ "alg": "ES256", "kid": "k1" }), json!({ "alg": "ES256", "typ": "JWT" })] {
        let read = verify(&token(&issuer, &header, &claims()), &keys).unwrap();
        assert_eq!(
            (read.issuer.as_str(), read.subject.as_str(), read.audiences),
            ("https://idp.example.com", "alice", vec!["app".to_owned()])
        );
    }
    let mut many = claims();
    many["aud"] = json!(["a", "b"]);
    many["azp"] = json!("a");
    let read = verify(&token(&issuer, &json!({ "alg": "ES256" }), &many), &keys).unwrap();
    assert_eq!((read.audiences.len(), read.authorized_party.as_deref()), (2, Some("a")));
}

#[test]
fn signatures_that_are_none() {
    let (issuer, other) = (Provider::new(), Provider::new());
    let keys = set(&[jwk(&issuer, "k1")]);
    let good = json!({ "alg": "ES256", "kid": "k1" });
    let refused = |text: &str| assert!(matches!(verify(text, &keys), Err(Refusal::Invalid(_))), "{text}");
    refused(&token(&other, &good, &claims()));
    refused(&token(&issuer, &json!({ "alg": "ES256", "kid": "k2" }), &claims()));
    for algorithm in ["none", "NONE", "HS256", "RS256", "ES384", "ES512", "es256", ""] {
        refused(&token(&issuer, &json!({ "alg": algorithm, "kid": "k1" }), &claims()));
    }
    refused(&format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims())));
    refused(&token(&issuer, &json!({ "alg": "ES256", "crit": ["b64"], "b64": false }), &claims()));
    refused(&token(&issuer, &json!({ "alg": "ES256", "kid": 1 }), &claims()));
    // A key that the token brings along.
    refused(&token(&other, &json!({ "alg": "ES256", "jwk": jwk(&other, "k1"), "kid": "k1" }), &claims()));
    let text = token(&issuer, &good, &claims());
    let mut parts: Vec<&str> = text.split('.').collect();
    let changed = part(&json!({ "sub": "admin" }));
    parts[1] = &changed;
    refused(&parts.join("."));
    for text in ["", ".", "..", "a.b", "a.b.c", &text[..text.len() - 4], &format!("{text}.x"), "eyJ9.e30.AA"] {
        refused(text);
    }
    let elsewhere = set(&[
        json!({ "kty": "EC", "crv": "P-256", "use": "enc", "kid": "k1", "x": jwk(&issuer, "k1")["x"], "y": jwk(&issuer, "k1")["y"] }),
    ]);
    assert!(verify(&text, &elsewhere).is_err(), "a key for encryption");
    let mut for_another = jwk(&issuer, "k1");
    for_another["alg"] = json!("ES384");
    assert!(verify(&text, &set(&[for_another])).is_err(), "a key for another method");
}

#[test]
fn claims_that_are_missing_or_not_now() {
    let issuer = Provider::new();
    let keys = set(&[jwk(&issuer, "k1")]);
    let with = |name: &str, value: Value| {
        let mut all = claims();
        match value {
            Value::Null => _ = all.as_object_mut().unwrap().remove(name),
            other => all[name] = other,
        }
        verify(&token(&issuer, &json!({ "alg": "ES256" }), &all), &keys)
    };
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        assert_eq!(with(name, Value::Null), Err(Refusal::Invalid(format!("Missing a required claim: {name}"))));
    }
    assert_eq!(with("aud", json!([])), Err(Refusal::Invalid("Missing a required claim: aud".to_owned())));
    assert!(
        matches!(with("exp", json!(NOW.secs())), Err(Refusal::Expired(text)) if text.starts_with("Token expired: current date/time 1795000000 must be before"))
    );
    assert!(with("exp", json!(NOW.secs() + 1)).is_ok());
    assert!(with("exp", json!("soon")).is_err() && with("exp", json!(1e300)).is_err() && with("exp", json!(-1)).is_err());
    assert!(with("nbf", json!(NOW.secs() + 121)).is_err() && with("nbf", json!(NOW.secs() + 120)).is_ok());
    assert!(with("iat", json!(NOW.secs() + 121)).is_err());
    assert!(with("azp", json!(["a"])).is_err());
}

#[test]
fn sets_that_are_none() {
    for text in ["", "[]", "{}", "{\"keys\":{}}"] {
        assert!(KeySet::parse(text.as_bytes()).is_none(), "{text}");
    }
    assert!(KeySet::parse(b"{\"keys\":[1,{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}").is_some(), "weak keys are left out");
}
