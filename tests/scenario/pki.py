"""Certificates that openssl makes for a test."""
import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)


def make_ca(directory, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key",
            "-out", directory / f"{name}.pem")


def make_cert(directory, name, ca, names):
    request, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key", "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", directory / f"{ca}.pem", "-CAkey",
            directory / f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", extensions,
            "-out", directory / f"{name}.pem")
