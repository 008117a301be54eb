"""What an administrator asks of a Hyper-V host, by pywinrm."""

import contextlib

import requests
import winrm
from winrm.exceptions import InvalidCredentialsError

HOST = "10.91.0.2"
MSVM = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/Msvm_ComputerSystem"
STOP = f"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>
 <a:Action s:mustUnderstand="true">{MSVM}/RequestStateChange</a:Action>
 <w:ResourceURI s:mustUnderstand="true">{MSVM}</w:ResourceURI>
 <a:MessageID>uuid:2E1A0F00-1111-4222-8333-444455556666</a:MessageID>
 <w:SelectorSet><w:Selector Name="Name">9A0B1C2D-1111-4222-8333-444455556666</w:Selector>
 </w:SelectorSet></s:Header><s:Body><p:RequestStateChange_INPUT xmlns:p="{MSVM}">
 <p:RequestedState>3</p:RequestedState></p:RequestStateChange_INPUT></s:Body></s:Envelope>"""

with contextlib.suppress(InvalidCredentialsError):
    winrm.Session(HOST, auth=("LAB\\eve", "wrong"), transport="ntlm").run_cmd("hostname")
bob = winrm.Session(HOST, auth=("LAB\\bob", "B0b!hyperv"), transport="ntlm")
bob.run_cmd("powershell", ["Stop-VM", "web"])
basic = winrm.Protocol(
    f"http://{HOST}:5987/wsman", transport="basic", username="bob", password="B0b!hyperv"
)
basic.send_message(STOP)
shell = basic.open_shell()
command = basic.run_command(shell, "net", ["user", "eve", "Gu3st!pw", "/add"])
basic.get_command_output(shell, command)
basic.close_shell(shell)
headers = {"Content-Type": "application/soap+xml;charset=UTF-8"}
requests.post(f"http://{HOST}:5987/wsman", STOP, headers=headers, auth=("eve", "wrong"))
