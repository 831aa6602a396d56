#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# certs.sh DIR: certificates for tests, NAME.pem with NAME.key, made by two authorities: ca and
# other. All keys are P-256 but rsa's. far.pem and past.pem have wrong times, self.pem no authority.
set -eu
mkdir -p "$1"
cd "$1"
exec >certs.log 2>&1 </dev/null

key() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

authority() {
	key "$1"
	openssl req -new -x509 -key "$1.key" -out "$1.pem" -days 30 -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

# signed NAME AUTHORITY EXTENSIONS…
signed() {
	name=$1 by=$2
	shift 2
	[ -f "$name.key" ] || key "$name"
	openssl req -new -key "$name.key" -out "$name.csr" -subj "/O=osbd/CN=$name"
	printf '%s\n' "$@" >"$name.ext"
	openssl x509 -req -in "$name.csr" -CA "$by.pem" -CAkey "$by.key" -CAcreateserial \
		-days 20 -extfile "$name.ext" -out "$name.pem"
}

# dated NAME FROM TO: signed by ca for one.test, with times of its own
dated() {
	key "$1"
	openssl req -new -key "$1.key" -out "$1.csr" -subj "/CN=$1"
	: >index.txt
	[ -f serial.txt ] || echo 1000 >serial.txt
	printf '%s\n' '[ca]' 'default_ca=d' '[d]' 'database=index.txt' 'new_certs_dir=.' \
		'serial=serial.txt' 'default_md=sha256' 'policy=p' 'x509_extensions=e' '[p]' \
		'commonName=supplied' '[e]' 'subjectAltName=DNS:one.test' >ca.cnf
	openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in "$1.csr" \
		-out "$1.pem" -startdate "$2" -enddate "$3"
}

authority ca
authority other
signed one ca 'subjectAltName=DNS:one.test,DNS:localhost,IP:127.0.0.1,IP:::1'
signed two ca 'subjectAltName=DNS:two.test,DNS:*.wild.test'
openssl genrsa -out rsa.key 2048
signed rsa ca 'subjectAltName=DNS:rsa.test'
signed stranger other 'subjectAltName=DNS:one.test'
signed alice ca 'subjectAltName=email:alice@osbd.test,URI:spiffe://osbd/alice' \
	'extendedKeyUsage=clientAuth'
signed bob ca 'subjectAltName=DNS:bob.test' 'extendedKeyUsage=clientAuth'
signed mallory other 'extendedKeyUsage=clientAuth'
signed server-only ca 'extendedKeyUsage=serverAuth'
dated past 20200101000000Z 20210101000000Z
dated far 20450101000000Z 20460101000000Z
key self
openssl req -new -x509 -key self.key -out self.pem -days 30 -subj /CN=self \
	-addext subjectAltName=DNS:one.test
openssl ec -in one.key -aes128 -passout pass:secret -out locked.key
