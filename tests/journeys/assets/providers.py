"""Identity providers of a journey: a SAML provider that signs with signxml, and an OpenID Connect issuer on loopback.

Their keys are made when they are, and nothing of them is the server's code.
"""

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import ssl
import threading
import time
import uuid

import lxml.etree
import signxml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ATTRIBUTES = "https://aws.amazon.com/SAML/Attributes"
SIGN_IN = "https://signin.aws.amazon.com/saml"


def certificate(name, key, issuer=None, issuer_key=None, authority=False, hosts=()):
    """A certificate of `key`: its own, or signed by an authority."""
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if hosts:
        names = [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def stamp(offset=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


class SamlProvider:
    """Signs responses. `sign` says what: the assertion, the response, or both."""

    def __init__(self, entity="https://idp.example.com/metadata", key=None):
        self.entity = entity
        self.key = key or rsa.generate_private_key(65537, 2048)
        self.certificate = certificate("idp", self.key)

    def metadata(self):
        der = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        return (
            f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{self.entity}">'
            f'<md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="{SAMLP}">'
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>{der}'
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.com/sso"/>'
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>'
            "</md:IDPSSODescriptor></md:EntityDescriptor>"
        )

    def tree(self, attributes, name="alice@example.com", issued=0, recipient=SIGN_IN, audience="urn:amazon:webservices", issuer=None):
        """A response, not signed. `attributes`: name -> values."""
        values = "".join(
            f'<saml:Attribute Name="{key}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic">'
            + "".join(
                f'<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema"'
                f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">{value}</saml:AttributeValue>'
                for value in given
            )
            + "</saml:Attribute>"
            for key, given in attributes.items()
        )
        issuer = issuer or self.entity
        text = f"""<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_{uuid.uuid4()}" Version="2.0" IssueInstant="{stamp(issued)}" Destination="{SIGN_IN}">
  <saml:Issuer>{issuer}</saml:Issuer>
  <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
  <saml:Assertion ID="_{uuid.uuid4()}" Version="2.0" IssueInstant="{stamp(issued)}">
    <saml:Issuer>{issuer}</saml:Issuer>
    <saml:Subject>
      <saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{name}</saml:NameID>
      <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
        <saml:SubjectConfirmationData NotOnOrAfter="{stamp(issued + 300)}" Recipient="{recipient}"/>
      </saml:SubjectConfirmation>
    </saml:Subject>
    <saml:Conditions NotBefore="{stamp(issued - 60)}" NotOnOrAfter="{stamp(issued + 3600)}">
      <saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>
    </saml:Conditions>
    <saml:AuthnStatement AuthnInstant="{stamp(issued)}" SessionIndex="_1" SessionNotOnOrAfter="{stamp(issued + 8 * 3600)}">
      <saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext>
    </saml:AuthnStatement>
    <saml:AttributeStatement>{values}</saml:AttributeStatement>
  </saml:Assertion>
</samlp:Response>"""
        return lxml.etree.fromstring(text)

    def signed(self, tree, sign="assertion", algorithm="rsa-sha256", digest="sha256", inclusive=None):
        """The tree with its signatures, as text."""
        if sign in ("assertion", "both"):
            assertion = tree.find(f"{{{SAML}}}Assertion")
            done = self._sign(assertion, algorithm, digest, inclusive)
            tree.replace(assertion, done)
        if sign in ("response", "both"):
            tree = self._sign(tree, algorithm, digest, inclusive)
        return lxml.etree.tostring(tree).decode()

    def _sign(self, element, algorithm, digest, inclusive):
        if inclusive:
            return self._sign_with_prefixes(element, inclusive)
        signer = signxml.XMLSigner(
            method=signxml.methods.enveloped, signature_algorithm=algorithm, digest_algorithm=digest, c14n_algorithm=EXCLUSIVE
        )
        pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        return signer.sign(element, key=self.key, cert=pem, reference_uri="#" + element.get("ID"), id_attribute="ID")

    def _sign_with_prefixes(self, element, prefixes):
        """With lists of inclusive namespaces, which signxml leaves out of transforms: canonical forms by libxml2."""
        copy = lxml.etree.fromstring(lxml.etree.tostring(element, with_tail=False))
        canonical = lambda of: lxml.etree.tostring(of, method="c14n", exclusive=True, inclusive_ns_prefixes=prefixes, with_tail=False)
        listed = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{" ".join(prefixes)}"/>'
        hashed = base64.b64encode(hashlib.sha256(canonical(copy)).digest()).decode()
        signature = lxml.etree.fromstring(
            f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">{listed}'
            '</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
            f'<ds:Reference URI="#{copy.get("ID")}"><ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"/>'
            f'<ds:Transform Algorithm="{EXCLUSIVE}">{listed}</ds:Transform></ds:Transforms>'
            f'<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>{hashed}</ds:DigestValue>'
            "</ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>"
        )
        copy.insert(1, signature)
        made = self.key.sign(canonical(signature[0]), padding.PKCS1v15(), hashes.SHA256())
        signature[1].text = base64.b64encode(made).decode()
        return copy

    def response(self, attributes, sign="assertion", algorithm="rsa-sha256", digest="sha256", inclusive=None, **what):
        """A signed response in base64."""
        return encoded(self.signed(self.tree(attributes, **what), sign, algorithm, digest, inclusive))


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return b64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class OidcIssuer:
    """Serves its discovery document and its keys over TLS under an authority of its own."""

    def __init__(self, directory, path=""):
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.p256 = ec.generate_private_key(ec.SECP256R1())
        self.p384 = ec.generate_private_key(ec.SECP384R1())
        self.names = {"rsa": "rsa-1", "p256": "p256-1", "p384": "p384-1"}
        self.asked = []
        self.documents = {}
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = certificate("authority", authority_key, authority=True)
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = certificate("issuer", key, authority, authority_key, hosts=("127.0.0.1", "localhost"))
        chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, authority))
        chain += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        bundle = directory / "issuer.pem"
        bundle.write_bytes(chain)
        self.thumbprint = hashlib.sha1(authority.public_bytes(serialization.Encoding.DER)).hexdigest()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body = issuer.documents.get(self.path) or issuer.answer(self.path)
                self.send_response(status)
                if status == 302:
                    self.send_header("location", body.decode())
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(bundle)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.path = path
        self.name = f"127.0.0.1:{self.server.server_port}{path}"
        self.url = f"https://{self.name}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path):
        if path == f"{self.path}/.well-known/openid-configuration":
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "response_types_supported": ["id_token"]}
            return 200, json.dumps(document).encode()
        if path == f"{self.path}/keys":
            return 200, json.dumps({"keys": self.keys()}).encode()
        return 404, b"{}"

    def keys(self):
        public = self.rsa.public_key().public_numbers()
        keys = [{"kty": "RSA", "kid": self.names["rsa"], "use": "sig", "n": number(public.n), "e": number(public.e)}]
        for name, curve, size in (("p256", "P-256", 32), ("p384", "P-384", 48)):
            point = getattr(self, name).public_key().public_numbers()
            keys.append({"kty": "EC", "kid": self.names[name], "crv": curve, "x": number(point.x, size), "y": number(point.y, size)})
        return keys

    def claims(self, **more):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "job:red:train", "aud": "tenantry-app", "iat": now, "exp": now + 300, **more}
        return {key: value for key, value in claims.items() if value is not None}

    def token(self, algorithm="RS256", header=None, key=None, **claims):
        family = {"R": "rsa", "P": "rsa", "E": "p384" if algorithm == "ES384" else "p256"}.get(algorithm[:1], "rsa")
        head = {"alg": algorithm, "typ": "JWT", "kid": self.names[family], **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        signed = f"{b64url(json.dumps(head).encode())}.{b64url(json.dumps(self.claims(**claims)).encode())}"
        key = key or getattr(self, family)
        return f"{signed}.{b64url(self.sign(algorithm, key, signed.encode()))}"

    @staticmethod
    def sign(algorithm, key, message):
        if algorithm[2:] not in ("256", "384", "512"):
            return b""
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]
        if algorithm.startswith("RS"):
            return key.sign(message, padding.PKCS1v15(), digest)
        if algorithm.startswith("PS"):
            return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        size = key.curve.key_size // 8
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
