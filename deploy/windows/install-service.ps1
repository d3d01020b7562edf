# Registers the worker of one lab as a task that begins with the machine.  In a PowerShell run as administrator:
#
#     .\install-service.ps1 -Lab cortexlab -Account "RIG7\alyx-transfer"
#     .\install-service.ps1 -Lab cortexlab -Remove
#
# Safe to run again.  The account's password is asked for and kept by Windows; nothing of ours sees it.
param(
    [Parameter(Mandatory)] [ValidatePattern("^[A-Za-z0-9_.-]+$")] [string] $Lab,
    [string] $Account,
    [string] $Program = "C:\alyx-transfer",
    [string] $Settings = "C:\ProgramData\alyx-transfer",
    [switch] $Remove
)
$ErrorActionPreference = "Stop"
$task = "\alyx-transfer\worker $Lab"

if ($Remove) {
    schtasks.exe /End /TN $task
    schtasks.exe /Delete /F /TN $task
    exit $LASTEXITCODE
}
if (-not $Account) {
    throw "Say which account runs the worker: -Account `"$env:COMPUTERNAME\alyx-transfer`". It needs to read the lab's folder, and no more."
}
$config = Join-Path $Settings "$Lab.toml"
if (-not (Test-Path $config)) {
    throw "There is no $config. Write the lab's config there first; README.md shows one."
}

# Secrets are for the account and for administrators; what others could inherit is taken away.
$secrets = Join-Path $Settings "secrets"
New-Item -ItemType Directory -Force $secrets, (Join-Path $Settings "logs") | Out-Null
icacls.exe $secrets /inheritance:r /grant:r "${Account}:(OI)(CI)R" "*S-1-5-32-544:(OI)(CI)F" | Out-Null
icacls.exe (Join-Path $Settings "logs") /grant "${Account}:(OI)(CI)M" | Out-Null

# It must stand before anything runs by itself: every problem at once, each with its remedy.
& (Join-Path $Program ".venv\Scripts\alyx-transfer.exe") --config $config doctor
if ($LASTEXITCODE -ne 0) {
    throw "The doctor found problems (see above). Mend them, then run this again."
}

$words = @{ "@LAB@" = $Lab; "@ACCOUNT@" = $Account; "@HOME@" = $Program; "@SETTINGS@" = $Settings }
$definition = Get-Content -Raw -Encoding utf8 (Join-Path $PSScriptRoot "alyx-transfer-worker.xml")
foreach ($word in $words.Keys) {
    $definition = $definition.Replace($word, [Security.SecurityElement]::Escape($words[$word]))
}
$credential = Get-Credential -UserName $Account -Message "The account that runs the worker of $Lab"
Register-ScheduledTask -Force -TaskName $task -Xml ($definition -replace "<\?xml[^>]*\?>", "") `
    -User $credential.UserName -Password $credential.GetNetworkCredential().Password | Out-Null
schtasks.exe /Run /TN $task
exit $LASTEXITCODE
